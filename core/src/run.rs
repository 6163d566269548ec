//! The states of a run and the ways between them.

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunState {
    /// It may be executed at once.
    Queued,
    /// A worker executes it.
    Running,
    /// It waits for a time, an event or a place under a limit, and holds neither memory nor a connection.
    Waiting,
    /// Something is wrong that only a person or a new deploy can change; the run keeps the reason.
    Parked,
    /// It ended with a result.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It was called off.
    Cancelled,
    /// It did not begin or end within its time.
    Expired,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunInput {
    /// A worker takes it.
    Claim,
    /// Its worker is gone, or gives it back: it is executed again with what is recorded.
    Release,
    /// The function waits.
    Suspend,
    /// What it waited for has come.
    Wake,
    /// The function returned.
    Finish,
    /// The function failed for good.
    Fail,
    /// Somebody calls it off.
    Cancel,
    /// Its time is over.
    Expire,
    /// It cannot go on as it is.
    Park,
    /// A parked run may go on.
    Resume,
    /// A failed run goes on from the step that failed, with what is recorded.
    Retry,
    /// Somebody gives the result that the run did not come to.
    Resolve,
}

/// The input means nothing in this state: another one came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state:?} does not take {input:?}")]
pub struct Illegal {
    /// The state.
    pub state: RunState,
    /// The input.
    pub input: RunInput,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Parked,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Its name, as databases and people see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the run has ended. Only [`RunInput::Retry`] and [`RunInput::Resolve`], which a person asks for, lead out
    /// of a failure.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// The state after an input.
    ///
    /// # Errors
    /// [`Illegal`] when the input comes too late or too early; the state stays. Of two inputs that race, a cancellation and a
    /// result, the first one committed wins in this way.
    pub fn after(self, input: RunInput) -> Result<Self, Illegal> {
        use RunInput as Input;
        match (self, input) {
            (Self::Queued, Input::Claim) => Ok(Self::Running),
            (Self::Running, Input::Release) => Ok(Self::Queued),
            (Self::Running, Input::Suspend) => Ok(Self::Waiting),
            (Self::Waiting, Input::Wake) => Ok(Self::Queued),
            (Self::Running, Input::Finish) => Ok(Self::Succeeded),
            (Self::Running, Input::Fail) => Ok(Self::Failed),
            (Self::Parked, Input::Fail) => Ok(Self::Failed),
            (Self::Queued | Self::Running | Self::Waiting | Self::Parked, Input::Cancel) => Ok(Self::Cancelled),
            (Self::Queued | Self::Running | Self::Waiting | Self::Parked, Input::Expire) => Ok(Self::Expired),
            (Self::Queued | Self::Running | Self::Waiting, Input::Park) => Ok(Self::Parked),
            (Self::Parked, Input::Resume) => Ok(Self::Queued),
            (Self::Failed, Input::Retry) => Ok(Self::Queued),
            (Self::Parked | Self::Failed, Input::Resolve) => Ok(Self::Succeeded),
            (state, input) => Err(Illegal { state, input }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INPUTS: [RunInput; 12] = [
        RunInput::Claim,
        RunInput::Release,
        RunInput::Suspend,
        RunInput::Wake,
        RunInput::Finish,
        RunInput::Fail,
        RunInput::Cancel,
        RunInput::Expire,
        RunInput::Park,
        RunInput::Resume,
        RunInput::Retry,
        RunInput::Resolve,
    ];

    proptest! {
        #[test]
        fn an_end_stays_an_end(inputs in prop::collection::vec(prop::sample::select(&INPUTS[..]), 0..40)) {
            let mut state = RunState::Queued;
            let mut ended: Option<RunState> = None;
            for input in inputs {
                state = state.after(input).unwrap_or(state);
                match ended {
                    Some(RunState::Failed) if input == RunInput::Retry => ended = None,
                    Some(RunState::Failed) if input == RunInput::Resolve => ended = Some(RunState::Succeeded),
                    Some(end) => prop_assert_eq!(state, end),
                    None => ended = state.is_over().then_some(state),
                }
            }
        }
    }

    #[test]
    fn only_a_claimed_run_reports_and_only_a_waiting_one_is_woken() {
        for state in RunState::ALL {
            for input in [RunInput::Finish, RunInput::Suspend, RunInput::Release] {
                assert_eq!(state.after(input).is_ok(), state == RunState::Running, "{state:?} {input:?}");
            }
            assert_eq!(state.after(RunInput::Wake).is_ok(), state == RunState::Waiting, "{state:?}");
            assert_eq!(state.after(RunInput::Claim).is_ok(), state == RunState::Queued, "{state:?}");
        }
    }

    #[test]
    fn whatever_has_not_ended_can_be_called_off() {
        for state in RunState::ALL {
            assert_eq!(state.after(RunInput::Cancel).is_ok(), !state.is_over(), "{state:?}");
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left_to_an_end() {
        let step = |state: RunState| INPUTS.into_iter().filter_map(move |input| state.after(input).ok());
        let reach = |from: RunState| {
            let mut seen = vec![from];
            let mut at = 0;
            while let Some(state) = seen.get(at).copied() {
                at += 1;
                let new: Vec<RunState> = step(state).filter(|next| !seen.contains(next)).collect();
                seen.extend(new);
            }
            seen
        };
        assert_eq!(reach(RunState::Queued).len(), RunState::ALL.len());
        for state in RunState::ALL {
            assert!(reach(state).into_iter().any(RunState::is_over), "{state:?}");
        }
    }
}
