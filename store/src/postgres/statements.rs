//! The fixed statements, one file each, so that they can be read, explained and tested as SQL.

macro_rules! statements {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) const $name: &str = include_str!(concat!("../../sql/postgres/", $file, ".sql"));)*

        /// Every statement by its file's name.
        pub(super) const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    BACKLOG = "backlog";
    CATALOGUE_COLUMNS = "catalogue_columns";
    CATALOGUE_FOREIGN_KEYS = "catalogue_foreign_keys";
    CATALOGUE_INDEXES = "catalogue_indexes";
    CATALOGUE_SERVER = "catalogue_server";
    CONTENDERS_FORGET = "contenders_forget";
    CONTENDERS_READ = "contenders_read";
    CONTENDERS_WRITE = "contenders_write";
    DELIVERIES_CLAIM = "deliveries_claim";
    DELIVERIES_INSERT = "deliveries_insert";
    DELIVERIES_PENDING = "deliveries_pending";
    DELIVERIES_PRUNE = "deliveries_prune";
    DELIVERIES_RELEASE = "deliveries_release";
    DIRTY_CLEAR = "dirty_clear";
    DIRTY_CLEAR_OF_EVENTS = "dirty_clear_of_events";
    DIRTY_COUNT = "dirty_count";
    DIRTY_DUE = "dirty_due";
    DIRTY_MARK = "dirty_mark";
    DIRTY_POSTPONE = "dirty_postpone";
    DIRTY_UNMARK = "dirty_unmark";
    DRIFT_COUNTS = "drift_counts";
    DRIFT_DUE = "drift_due";
    DRIFT_LIST = "drift_list";
    DRIFT_NOTE = "drift_note";
    DRIFT_PRUNE = "drift_prune";
    DRIFT_SETTLE = "drift_settle";
    ENDPOINTS_LIST = "endpoints_list";
    ENDPOINT_REMOVE = "endpoint_remove";
    ENDPOINT_SAVE = "endpoint_save";
    EVENTS_KNOWN = "events_known";
    EVENTS_LIST = "events_list";
    EVENTS_LIST_OF_OBJECT = "events_list_of_object";
    EVENTS_READ = "events_read";
    EVENTS_VIEW = "events_view";
    EVENT_BETWEEN = "event_between";
    EVENT_READ = "event_read";
    GAPS_LIST = "gaps_list";
    FLOW_DUE = "flow_due";
    FLOW_EVENTS_INSERT = "flow_events_insert";
    FLOW_RUN_READ = "flow_run_read";
    FLOW_RUNS_CLAIM = "flow_runs_claim";
    FLOW_RUNS_NEXT = "flow_runs_next";
    FLOW_RUNS_OWNED = "flow_runs_owned";
    FLOW_RUNS_RENEW = "flow_runs_renew";
    FLOW_RUNS_START = "flow_runs_start";
    FLOW_RUNS_CANCEL = "flow_runs_cancel";
    FLOW_RUNS_CANCELLABLE = "flow_runs_cancellable";
    FLOW_RUNS_CANCELLATIONS = "flow_runs_cancellations";
    FLOW_RUNS_CANCELLATION_NOTE = "flow_runs_cancellation_note";
    FLOW_RUNS_CHANGE = "flow_runs_change";
    FLOW_RUNS_COUNT = "flow_runs_count";
    FLOW_RUNS_DETAIL = "flow_runs_detail";
    FLOW_RUNS_EVENT = "flow_runs_event";
    FLOW_RUNS_EVENTS = "flow_runs_events";
    FLOW_RUNS_FORGET = "flow_runs_forget";
    FLOW_RUNS_LIST = "flow_runs_list";
    FLOW_RUNS_LOCK = "flow_runs_lock";
    FLOW_RUNS_OF_EVENT = "flow_runs_of_event";
    FLOW_RUNS_PAUSE = "flow_runs_pause";
    FLOW_RUNS_PAUSED = "flow_runs_paused";
    FLOW_RUNS_RERUN = "flow_runs_rerun";
    FLOW_RUNS_RESUME = "flow_runs_resume";
    FLOW_RUNS_STEPS = "flow_runs_steps";
    FLOW_STEPS_READ = "flow_steps_read";
    FLOW_STEPS_RECORD = "flow_steps_record";
    GAP_RECORD = "gap_record";
    LEASE_DROP = "lease_drop";
    LEASE_TAKE = "lease_take";
    LINK_CHARGES = "link_charges";
    LINK_DISPUTES = "link_disputes";
    LINK_INVOICES = "link_invoices";
    LINK_INVOICE_PAYMENTS = "link_invoice_payments";
    LINK_PAYMENT_INTENTS = "link_payment_intents";
    MIGRATION_NOTE = "migration_note";
    MIGRATION_TABLE = "migration_table";
    QUARANTINE_DROP = "quarantine_drop";
    QUARANTINE_LIST = "quarantine_list";
    QUARANTINE_RETRY = "quarantine_retry";
    QUARANTINE_WRITE = "quarantine_write";
    ROW_COUNTS = "row_counts";
    SCHEMA_READ = "schema_read";
    SETTING_PIN = "setting_pin";
    SETTING_READ = "setting_read";
    SETTING_WRITE = "setting_write";
    SYNC_RUNS_LIST = "sync_runs_list";
    SYNC_RUNS_PRUNE = "sync_runs_prune";
    SYNC_RUN_END = "sync_run_end";
    SYNC_RUN_LOCK = "sync_run_lock";
    SYNC_RUN_START = "sync_run_start";
    SYNC_SEGMENTS_CLAIM = "sync_segments_claim";
    SYNC_SEGMENTS_RELEASE = "sync_segments_release";
    SYNC_SEGMENTS_RENEW = "sync_segments_renew";
    SYNC_SEGMENT_ADVANCE = "sync_segment_advance";
    SYNC_SEGMENT_CLOSE = "sync_segment_close";
    SYNC_SEGMENT_POSTPONE = "sync_segment_postpone";
    SYNC_SEGMENT_SPLIT = "sync_segment_split";
    TOMBSTONES_READ = "tombstones_read";
    TOMBSTONES_REMOVE = "tombstones_remove";
    TOMBSTONES_WRITE = "tombstones_write";
}

/// Stands in a statement for the quoted name of the mirror's schema.
pub(super) const MIRROR: &str = "{mirror}";
