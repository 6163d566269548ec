//! All functions that the server executes: those of its applications and the built-in ones, in one engine.

use std::sync::Arc;

use billhook_billing::{Billing, Tables, Users};
use billhook_flow::engine::{self, Engine, EngineOptions, Enrich, Waker};
use billhook_flow::{Aliases, Functions};
use billhook_mirror::route::Router;
use billhook_store::Store;

use super::{FunctionClock, FunctionRouter, MirrorReader, read_delivery};
use crate::failure::Refused;
use crate::settings::configuration::Configuration;
use crate::settings::database::Database;
use crate::settings::origin::Refusal;
use crate::stripe_api;

/// Functions with what each of them shares, and what Stripe's events are called.
pub struct Hosted {
    functions: Functions<()>,
    aliases: Aliases,
}

impl Hosted {
    /// The applications' functions and those that the settings switch on; nothing when there are none.
    ///
    /// # Errors
    /// Functions that would never work, ids that are used twice, and a schema that billing cannot use.
    pub fn new(functions: Functions<()>, configuration: &Configuration) -> Result<Option<Self>, Refused> {
        let refusal = |what: String, action: &str| Refusal::of_combination("functions", what, action);
        let built_in = built_in(configuration)
            .map_err(|defect| Refused(vec![refusal(defect.to_string(), "choose another schema")]))?;
        let hosted = Self { functions: functions.and(built_in), aliases: configuration.aliases.clone() };
        let refusal =
            |defect: billhook_flow::Defect| refusal(defect.to_string(), "correct it where the function is declared");
        let checked = hosted.functions.check_with(&hosted.aliases);
        checked.map_err(|defects| Refused(defects.into_iter().map(refusal).collect()))?;
        Ok(if hosted.functions.ids().is_empty() { None } else { Some(hosted) })
    }

    /// Starts executing. `enrich` completes the data of Stripe's events.
    pub fn start(&self, enrich: Arc<dyn Enrich>, store: &Store, clock: &FunctionClock) -> Engine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let options = EngineOptions {
            threads,
            lease: clock.lease(),
            read_delivery: Some(read_delivery as engine::ReadDelivery),
            mirror: Some(Arc::new(MirrorReader::new(store.clone()))),
            aliases: self.aliases.clone(),
            enrich: Some(enrich),
            ..EngineOptions::new(stripe_api::holder())
        };
        Engine::start(options, self.functions.clone(), Arc::new(()), store.clone(), Arc::clone(clock.clock()))
    }

    /// What starts their runs; `waker` is told of new ones.
    pub fn router(&self, clock: &FunctionClock, waker: Waker) -> Arc<dyn Router> {
        let (functions, aliases) = (self.functions.clone(), self.aliases.clone());
        Arc::new(FunctionRouter { functions, aliases, clock: Arc::clone(clock.clock()), waker })
    }
}

/// The workflows that the settings switch on.
fn built_in(configuration: &Configuration) -> Result<Functions<()>, billhook_billing::NameDefect> {
    let billing = &configuration.billing;
    let tables = match &configuration.database {
        Database::Postgres(_) => Tables::postgres(&configuration.postgres.schema)?,
        Database::Sqlite { .. } => Tables::sqlite()?,
    };
    let own = Users::own(&tables)?;
    let (id, email) = (billing.users_id_column.clone(), billing.users_email_column.clone());
    let users = match billing.users_table.clone() {
        Some(table) => Users { table, id, email, customer: billing.users_customer_column.clone() },
        None => own,
    };
    let app = Billing { tables, users, on_missing: billing.on_missing };
    Ok(billhook_billing::functions(&billing.workflows).bound(app))
}
