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
    FLOW_CONTROL_READ = "flow_control_read";
    FLOW_DUE = "flow_due";
    FLOW_EVENTS_CANCEL = "flow_events_cancel";
    FLOW_EVENTS_COUNT = "flow_events_count";
    FLOW_EVENTS_DUE = "flow_events_due";
    FLOW_EVENTS_INSERT = "flow_events_insert";
    FLOW_EVENTS_REPLACE = "flow_events_replace";
    FLOW_EVENTS_TAKE = "flow_events_take";
    FLOW_GATES_BLOCKED = "flow_gates_blocked";
    FLOW_GATES_LOCK = "flow_gates_lock";
    FLOW_GATES_TAKEN = "flow_gates_taken";
    FLOW_LOOKBACK_DELIVERIES = "flow_lookback_deliveries";
    FLOW_LOOKBACK_EVENTS = "flow_lookback_events";
    FLOW_NAMES_LOCK = "flow_names_lock";
    FLOW_PACE_REFUSE = "flow_pace_refuse";
    FLOW_PACE_WRITE = "flow_pace_write";
    FLOW_REFUSALS = "flow_refusals";
    FLOW_RUNS_BLOCK = "flow_runs_block";
    FLOW_RUNS_CANCEL = "flow_runs_cancel";
    FLOW_RUNS_CHOOSE = "flow_runs_choose";
    FLOW_RUNS_CLAIM = "flow_runs_claim";
    FLOW_RUNS_GOT_ON = "flow_runs_got_on";
    FLOW_RUNS_LOCK = "flow_runs_lock";
    FLOW_RUNS_NEXT = "flow_runs_next";
    FLOW_RUNS_OWNED = "flow_runs_owned";
    FLOW_RUNS_RELEASE = "flow_runs_release";
    FLOW_RUNS_RENEW = "flow_runs_renew";
    FLOW_RUNS_START = "flow_runs_start";
    FLOW_RUNS_TAKE = "flow_runs_take";
    FLOW_RUNS_UNBLOCK = "flow_runs_unblock";
    FLOW_RUN_EVENTS_NOTE = "flow_run_events_note";
    FLOW_RUN_EVENTS_READ = "flow_run_events_read";
    FLOW_RUN_JOIN = "flow_run_join";
    FLOW_RUN_READ = "flow_run_read";
    FLOW_RUN_START_HELD = "flow_run_start_held";
    FLOW_STEPS_READ = "flow_steps_read";
    FLOW_STEPS_RECORD = "flow_steps_record";
    FLOW_WAITS_END = "flow_waits_end";
    FLOW_WAITS_FIND = "flow_waits_find";
    FLOW_WAITS_FORGET = "flow_waits_forget";
    FLOW_WAITS_OVER = "flow_waits_over";
    FLOW_WAITS_REGISTER = "flow_waits_register";
    FLOW_WAIT_PATHS = "flow_wait_paths";
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
