//! What a function has in its hands.

use std::future::Future;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::execution::Execution;
use crate::invoke::Invoke;
use crate::mirror::MirrorRead;
use crate::send::{Send, SendSignal};
use crate::step::{Call, Step};
use crate::tx_step::{Tx, TxStep};
use crate::wait::{EventWait, SignalWait, Sleep, Until};

/// The context of a run: its steps, its waits, and the application's own state. Cheap to clone.
pub struct Ctx<App> {
    app: Arc<App>,
    execution: Arc<Execution>,
}

impl<App> Clone for Ctx<App> {
    fn clone(&self) -> Self {
        Self { app: Arc::clone(&self.app), execution: Arc::clone(&self.execution) }
    }
}

impl<App> Ctx<App> {
    pub(crate) fn new(app: Arc<App>, execution: Arc<Execution>) -> Self {
        Self { app, execution }
    }

    /// The same run for a function of another application.
    pub(crate) fn with_app<Other>(&self, app: Arc<Other>) -> Ctx<Other> {
        Ctx { app, execution: Arc::clone(&self.execution) }
    }

    /// What the application gave to its functions: pools, clients, settings.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.execution.request.run
    }

    /// A step. Its body runs once and its result is recorded; from then on the result is read instead. `id` names it in the run's
    /// history; using an id again, in a loop, counts.
    ///
    /// The body may borrow. It is retried as the step's options say when it fails, and the whole function is replayed up to here.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let order = String::from("order_1");
    /// let length: usize = ctx.step("measure", || async { Ok::<_, std::io::Error>(order.len()) }).retries(2).await?;
    /// # let _ = length; Ok(()) }
    /// ```
    ///
    /// A step inside a step does not compile:
    ///
    /// ```compile_fail
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// ctx.step("outer", || async { ctx.step("inner", || async { Ok::<_, std::io::Error>(()) }).await }).await?;
    /// # Ok(()) }
    /// ```
    pub fn step<'a, I, B, F>(&self, id: I, body: B) -> Step<'a, impl FnOnce(Call) -> F + use<'a, I, B, F, App>>
    where
        I: Into<String>,
        B: FnOnce() -> F + 'a,
    {
        Step::new(Arc::clone(&self.execution), id.into(), move |_call| body())
    }

    /// A step whose body is told the attempt and its idempotency key.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn post(key: &str) -> Result<(), std::io::Error> { let _ = key; Ok(()) }
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// ctx.step_with("refund", |call| async move { post(call.idempotency_key()).await }).await?;
    /// # Ok(()) }
    /// ```
    pub fn step_with<'a, B, F>(&self, id: impl Into<String>, body: B) -> Step<'a, B>
    where
        B: FnOnce(Call) -> F + 'a,
    {
        Step::new(Arc::clone(&self.execution), id.into(), body)
    }

    /// A step of SQL in Billhook's own database: what it writes and the record that it did are one commit, so that it takes effect exactly
    /// once, whatever happens to the process.
    ///
    /// The body gets a [`Tx`]. When it returns `Ok`, its result is recorded and everything is committed; an error rolls everything back,
    /// and the attempt has failed as that of a [`Ctx::step`] would. When the database was away for a moment, or two transactions
    /// collided, the body is run again at once, so it must do nothing to the rest of the world.
    ///
    /// The transaction begins with the first statement and may be open for [`crate::HOLD_DEFAULT`] (see [`TxStep::hold`]). On SQLite
    /// nobody else writes meanwhile, not even the deliveries of webhooks: do slow work in a step before it. Statements that begin, end or
    /// configure transactions are refused. A statement that fails dooms the transaction, even if the body goes on. On SQLite foreign keys
    /// are not enforced.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Error, Result, Terminal};
    /// # async fn example(ctx: Ctx<()>, email: &str) -> Result<()> {
    /// let user = ctx
    ///     .tx_step("record", |tx| async move {
    ///         let users = tx.query("SELECT id FROM billing_users WHERE email = $1", &[email.into()]).await?;
    ///         let user: String = users.first().ok_or(Terminal::new("no such user"))?.get("id")?;
    ///         tx.execute("INSERT INTO charges (id, user_id) VALUES ($1, $2)", &["ch_1".into(), (&user).into()]).await?;
    ///         Ok::<_, Error>(user)
    ///     })
    ///     .retries(5)
    ///     .await?;
    /// # let _ = user; Ok(()) }
    /// ```
    ///
    /// A step inside of it does not compile:
    ///
    /// ```compile_fail
    /// # use billhook_flow::{Ctx, Error, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let ctx = &ctx;
    /// ctx.tx_step("outer", |_tx| async move { ctx.step("inner", || async { Ok::<_, Error>(()) }).await }).await?;
    /// # Ok(()) }
    /// ```
    pub fn tx_step<'a, B, F>(&self, id: impl Into<String>, body: B) -> TxStep<'a, B>
    where
        B: Fn(Tx) -> F + 'a,
    {
        TxStep::new(Arc::clone(&self.execution), id.into(), body)
    }

    /// An object of Stripe's as the mirror has it now: by its kind and id, or `None`. The read is a step, named after the object.
    ///
    /// The event that started the run is in the mirror, and so is every event that the run waited for. For one of which the function
    /// heard elsewhere, say from a reply of Stripe's, [`MirrorRead::at_least`] waits until the mirror has applied it.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # #[derive(serde::Deserialize)] struct Invoice { status: String }
    /// # async fn example(ctx: Ctx<()>, event: String) -> Result<()> {
    /// let invoice = ctx.mirror::<Invoice>("invoice", "in_1").at_least(event).await?;
    /// let is_paid = invoice.is_some_and(|invoice| invoice.status == "paid");
    /// # let _ = is_paid; Ok(()) }
    /// ```
    pub fn mirror<T>(&self, object: impl Into<String>, id: impl Into<String>) -> MirrorRead<T> {
        MirrorRead::new(Arc::clone(&self.execution), object.into(), id.into())
    }

    /// Sleeps, at most 366 days. The end is fixed when the sleep begins and never computed again.
    pub fn sleep(&self, id: impl Into<String>, duration: SignedDuration) -> Sleep {
        Sleep::new(Arc::clone(&self.execution), id.into(), Until::For(duration))
    }

    /// Sleeps until then, at most 366 days. A time that is past is no sleep.
    pub fn sleep_until(&self, id: impl Into<String>, time: Timestamp) -> Sleep {
        Sleep::new(Arc::clone(&self.execution), id.into(), Until::Time(time))
    }

    /// Waits for an event of this name.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result, days};
    /// # #[derive(serde::Deserialize)] struct Invoice { id: String }
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let paid = ctx
    ///     .wait_for_event::<Invoice>("paid", "stripe/invoice.paid")
    ///     .matching("async.data.id == event.data.id")
    ///     .timeout(days(3))
    ///     .await;
    /// if let Some(event) = paid {
    ///     println!("{} is paid", event.data.id);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn wait_for_event<T>(&self, id: impl Into<String>, name: impl Into<String>) -> EventWait<T> {
        EventWait::new(Arc::clone(&self.execution), id.into(), name.into())
    }

    /// Waits for a signal of this name: something that a person or a program tells exactly the runs that wait for it.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result, days};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let approved = ctx.wait_for_signal::<bool>("approval", "refund/re_1").timeout(days(2)).await;
    /// # let _ = approved; Ok(()) }
    /// ```
    pub fn wait_for_signal<T>(&self, id: impl Into<String>, signal: impl AsRef<str>) -> SignalWait<T> {
        SignalWait::new(Arc::clone(&self.execution), id.into(), signal.as_ref())
    }

    /// Sends an event, once, when it is awaited. It starts functions and ends waits like any other; `at` a time in the future it waits
    /// for its time in the database.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result, days};
    /// # use serde_json::json;
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let now = ctx.now();
    /// let deletion = now + days(30);
    /// ctx.send("schedule", "data/deletion", &json!({ "customer": "cus_1" })).at(deletion).replacing("cus_1").await?;
    /// # Ok(()) }
    /// ```
    pub fn send(&self, id: impl Into<String>, name: impl Into<String>, data: &impl Serialize) -> Send {
        Send::new(Arc::clone(&self.execution), id.into(), name.into(), data)
    }

    /// Sends a signal, once, when it is awaited: to every run that waits for one of this name, or that had begun by then and comes to
    /// such a wait later. `ctx.wait_for_signal` is the other side.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// ctx.send_signal("approve", "refund/re_1", &true).await?;
    /// # Ok(()) }
    /// ```
    pub fn send_signal(&self, id: impl Into<String>, signal: impl Into<String>, data: &impl Serialize) -> SendSignal {
        SendSignal::new(Arc::clone(&self.execution), id.into(), signal.into(), data)
    }

    /// Runs another function of this application with an event that has this data, and waits for what it returns.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result, days};
    /// # use serde_json::json;
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let total: i64 = ctx.invoke("sum", "monthly-total", &json!({ "month": "2026-11" })).timeout(days(1)).await?;
    /// # let _ = total; Ok(()) }
    /// ```
    pub fn invoke<T>(&self, id: impl Into<String>, function: impl Into<String>, data: &impl Serialize) -> Invoke<T> {
        Invoke::new(Arc::clone(&self.execution), id.into(), function.into(), data)
    }

    /// The engine's time. It differs between executions of one run, so what depends on it belongs into a step or a sleep.
    pub fn now(&self) -> Timestamp {
        self.execution.now()
    }

    /// Steps at the same time. All of them come to their end before the first error, in their order, is returned.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// let (one, two): (u8, String) = ctx
    ///     .join((
    ///         ctx.step("one", || async { Ok::<_, std::io::Error>(1) }),
    ///         ctx.step("two", || async { Ok::<_, std::io::Error>("2".to_owned()) }),
    ///     ))
    ///     .await?;
    /// # let _ = (one, two); Ok(()) }
    /// ```
    pub fn join<S: Join>(&self, steps: S) -> impl Future<Output = Result<S::Output>> + use<S, App> {
        steps.join()
    }
}

/// Several steps that run at the same time: tuples of two to four.
pub trait Join {
    /// Their results.
    type Output;

    /// Runs them to their ends.
    fn join(self) -> impl Future<Output = Result<Self::Output>>;
}

macro_rules! join_tuple {
    ($($step:ident $value:ident $result:ident),+) => {
        impl<$($step, $value),+> Join for ($($step,)+)
        where
            $($step: IntoFuture<Output = Result<$value, Error>>,)+
        {
            type Output = ($($value,)+);

            #[expect(non_snake_case, reason = "the steps are named as their types are")]
            async fn join(self) -> Result<Self::Output> {
                let ($($step,)+) = self;
                let ($($result,)+) = tokio::join!($($step.into_future()),+);
                Ok(($($result?,)+))
            }
        }
    };
}

join_tuple!(A TA a, B TB b);
join_tuple!(A TA a, B TB b, C TC c);
join_tuple!(A TA a, B TB b, C TC c, D TD d);
