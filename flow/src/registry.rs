//! All functions of an application.

use std::collections::HashMap;
use std::sync::Arc;

use billhook_store::FlowVersion;

use crate::control;
use crate::function::Function;
use crate::lanes::{Lanes, Priorities};
use crate::names::Aliases;

/// The functions of an application. Cheap to clone.
pub struct Functions<App> {
    /// In the order in which they were added: of those with one id the last one begins runs.
    functions: Vec<Function<App>>,
    lanes: Arc<Lanes>,
}

/// Something about a function that would never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function {function}: {what}")]
pub struct Defect {
    /// The function's id.
    pub function: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl<App> Clone for Functions<App> {
    fn clone(&self) -> Self {
        Self { functions: self.functions.clone(), lanes: Arc::clone(&self.lanes) }
    }
}

impl<App> Default for Functions<App> {
    fn default() -> Self {
        Self::new()
    }
}

impl<App> Functions<App> {
    /// None yet.
    pub fn new() -> Self {
        Self { functions: Vec::new(), lanes: Arc::default() }
    }

    /// With one more. Of several versions of one function ([`crate::Versions::Pinned`]) the last one that is added begins runs.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "functions are not numbers, and this is what one says")]
    pub fn add(mut self, mut function: Function<App>) -> Self {
        let handler = function.take_failure_handler();
        self.functions.push(function);
        match handler {
            Some(handler) => self.add(handler),
            None => self,
        }
    }

    /// With those of another registry. All of them have their turns in one order.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.functions.extend(others.functions);
        self
    }

    /// The same functions with what their application shares: registries of several applications become one, which one engine executes
    /// and in which every id and every event is looked for.
    #[must_use]
    pub fn bound(self, app: App) -> Functions<()>
    where
        App: Send + Sync + 'static,
    {
        let app = Arc::new(app);
        let functions = self.functions.into_iter().map(|function| function.bound(Arc::clone(&app))).collect();
        Functions { functions, lanes: self.lanes }
    }

    /// Looks for what would never work, by the default names of events.
    ///
    /// # Errors
    /// Everything that was found: ids that are empty or used twice, functions that nothing starts, triggers that no event has.
    pub fn check(&self) -> Result<(), Vec<Defect>> {
        self.check_with(&Aliases::default())
    }

    /// Looks for what would never work, when events have these names as well.
    ///
    /// # Errors
    /// As [`Functions::check`].
    pub fn check_with(&self, aliases: &Aliases) -> Result<(), Vec<Defect>> {
        let mut defects = Vec::new();
        let mut known = HashMap::new();
        let mut shared: HashMap<String, (u32, &str)> = HashMap::new();
        for (function, is_newest) in self.with_newest() {
            let mut found = |what: String| defects.push(Defect { function: function.id().to_owned(), what });
            if function.id().trim().is_empty() {
                found("its id is empty".to_owned());
            }
            let others: &mut Vec<&Function<App>> = known.entry(function.id()).or_default();
            others.iter().filter_map(|other| clash(other, function)).take(1).for_each(&mut found);
            others.push(function);
            if is_newest && function.triggers().next().is_none() && function.crons().is_empty() {
                found("nothing starts it; give it an event with .on(…) or a schedule with .cron(…)".to_owned());
            }
            function.triggers().filter_map(|trigger| aliases.defect(trigger)).for_each(&mut found);
            function.cancels().iter().filter_map(|cancel| aliases.defect(&cancel.event)).for_each(&mut found);
            function.defects().for_each(&mut found);
            for (name, places) in
                function.controls.places(function.id()).into_iter().filter(|(name, _)| control::is_shared(name))
            {
                let (other, id) = *shared.entry(name.clone()).or_insert((places, function.id()));
                if other != places {
                    found(control::clash(&name, places, id));
                }
            }
        }
        if defects.is_empty() { Ok(()) } else { Err(defects) }
    }

    /// The functions that an event with one of these names may start, each once; their conditions decide.
    pub fn started_by<'a>(&'a self, event_names: &'a [String]) -> impl Iterator<Item = &'a Function<App>> {
        // Hot: for every event, and most functions are not meant.
        let meant = self.functions.iter().enumerate().filter(move |(_, function)| function.is_started_by(event_names));
        meant.filter_map(|(at, function)| self.is_newest(at, function).then_some(function))
    }

    fn is_newest(&self, at: usize, function: &Function<App>) -> bool {
        !self.functions.iter().skip(at + 1).any(|other| other.id() == function.id())
    }

    /// All versions of all functions, each with whether it is the one with which runs begin.
    fn with_newest(&self) -> impl Iterator<Item = (&Function<App>, bool)> {
        self.functions.iter().enumerate().map(|(at, function)| (function, self.is_newest(at, function)))
    }

    /// The functions with which runs begin: of each id the version that was added last.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Function<App>> {
        self.with_newest().filter_map(|(function, is_newest)| is_newest.then_some(function))
    }

    /// The versions with which runs begin.
    pub(crate) fn newest_versions(&self) -> Vec<FlowVersion> {
        self.newest().map(flow_version).collect()
    }

    /// All versions that execute their own runs and no others.
    pub(crate) fn pinned_versions(&self) -> Vec<FlowVersion> {
        self.functions.iter().filter(|function| function.is_pinned()).map(flow_version).collect()
    }

    /// Whether an event with one of these names may call runs off.
    pub fn is_called_off_by(&self, event_names: &[String]) -> bool {
        self.functions.iter().flat_map(Function::cancels).any(|cancel| event_names.contains(&cancel.event))
    }

    /// The names of all gates with their places.
    pub(crate) fn places(&self) -> Vec<(String, u32)> {
        let mut places: Vec<(String, u32)> =
            self.functions.iter().flat_map(|function| function.controls.places(function.id())).collect();
        places.sort_unstable();
        places.dedup_by(|one, other| one.0 == other.0);
        places
    }

    /// What makes runs of some of them begin before or after their turn.
    pub(crate) fn priorities(&self) -> Priorities {
        let of = |function: &Function<App>| Some((function.id().to_owned(), function.controls.priority()?.clone()));
        Priorities(self.newest().filter_map(of).collect())
    }

    /// The order in which runs begin.
    pub(crate) fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// The ids of all of them, each once.
    pub fn ids(&self) -> Vec<String> {
        self.newest().map(|function| function.id().to_owned()).collect()
    }

    /// The function of this id: of several versions the one with which runs begin.
    pub fn get(&self, id: &str) -> Option<&Function<App>> {
        self.functions.iter().rfind(|function| function.id() == id)
    }

    /// The function that executes a run which began with this version; `None` when there is none.
    pub fn executes(&self, id: &str, version: Option<&str>) -> Option<&Function<App>> {
        let newest = self.get(id)?;
        match version {
            Some(version) if newest.is_pinned() => {
                self.functions.iter().rfind(|function| function.id() == id && function.code_version() == version)
            }
            Some(_) | None => Some(newest),
        }
    }
}

fn flow_version<App>(function: &Function<App>) -> FlowVersion {
    FlowVersion { function: function.id().to_owned(), version: function.code_version().to_owned() }
}

/// Why two functions cannot have one id.
fn clash<App>(one: &Function<App>, other: &Function<App>) -> Option<String> {
    if !one.is_pinned() || !other.is_pinned() {
        return Some(
            "another function has the same id; versions of one function are all pinned: .versions(Versions::Pinned)"
                .to_owned(),
        );
    }
    let version = one.code_version();
    (version == other.code_version())
        .then(|| format!("another function has the same id and the same version {version:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Trial;
    use crate::{Ctx, Event, Result, Versions, function, stripe_names};

    async fn nothing(_event: Event, _ctx: Ctx<()>) -> Result<()> {
        Ok(())
    }

    #[test]
    fn what_would_never_work_is_told_at_once() {
        let functions = Functions::new()
            .add(function("a", nothing).on("stripe/invoice.paid"))
            .add(function("a", nothing).on("stripe/invoice.payed"))
            .add(function("", nothing));
        let defects = functions.check().expect_err("defects");
        let told: Vec<String> = defects.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].contains("same id") && told[1].contains("did you mean"), "{told:?}");
        assert!(told[2].contains("empty") && told[3].contains("nothing starts it"), "{told:?}");
    }

    #[test]
    fn versions_of_one_function_are_all_pinned_and_the_last_one_begins_runs() {
        let version = |number: &str| function("a", nothing).version(number).versions(Versions::Pinned);
        let functions = Functions::new().add(version("1")).add(version("2").on("app/a"));
        assert_eq!((functions.check(), functions.ids()), (Ok(()), vec!["a".to_owned()]));
        let executes = |began| functions.executes("a", began).map(Function::code_version);
        assert_eq!((executes(None), executes(Some("1")), executes(Some("0"))), (Some("2"), Some("1"), None));
        let names = ["app/a".to_owned()];
        assert_eq!(functions.started_by(&names).map(Function::code_version).collect::<Vec<_>>(), ["2"]);
        let clash = |other: Function<()>| Functions::new().add(version("1")).add(other.on("app/a")).check().is_err();
        assert!(clash(version("1")) && clash(function("a", nothing).version("2")));
        let latest = Functions::new().add(function("a", nothing).version("2").on("app/a"));
        assert_eq!(latest.executes("a", Some("1")).map(Function::code_version), Some("2"));
    }

    #[tokio::test]
    async fn registries_of_several_applications_become_one() {
        async fn name(_event: Event, ctx: Ctx<&'static str>) -> Result<&'static str> {
            Ok(*ctx.app())
        }
        let one = |id, app| Functions::new().add(function(id, name).on("app/a").concurrency(2)).bound(app);
        let functions = one("a", "first").and(one("b", "second"));
        assert_eq!((functions.check(), functions.ids()), (Ok(()), vec!["a".to_owned(), "b".to_owned()]));
        for (id, app) in [("a", "first"), ("b", "second")] {
            let end = Trial::new(functions.get(id).expect("a function"), (), json!({})).run().await;
            assert_eq!(end.result, Ok(json!(app)));
        }
        assert_eq!(functions.places(), [("fn/a/1".to_owned(), 2), ("fn/b/1".to_owned(), 2)], "limits go with them");
        assert!(one("a", "first").and(one("a", "second")).check().is_err(), "ids are unique over all");
    }

    #[test]
    fn a_function_starts_once_however_many_triggers_match() {
        let functions = Functions::new()
            .add(function("both", nothing).on("stripe/payment.failed").on("stripe/invoice.*"))
            .add(function("other", nothing).on("stripe/invoice.paid"));
        let names = stripe_names("invoice.payment_failed");
        let started: Vec<&str> = functions.started_by(&names).map(Function::id).collect();
        assert_eq!(started, ["both"]);
        assert!(functions.get("other").is_some() && functions.get("none").is_none());
    }
}
