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
    DIRTY_DUE = "dirty_due";
    DIRTY_MARK = "dirty_mark";
    EVENT_READ = "event_read";
    EVENTS_KNOWN = "events_known";
    EVENTS_LIST = "events_list";
    EVENTS_LIST_OF_OBJECT = "events_list_of_object";
    EVENTS_READ = "events_read";
    EVENTS_VIEW = "events_view";
    LINK_CHARGES = "link_charges";
    LINK_DISPUTES = "link_disputes";
    LINK_INVOICE_PAYMENTS = "link_invoice_payments";
    LINK_INVOICES = "link_invoices";
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
    TOMBSTONES_READ = "tombstones_read";
    TOMBSTONES_REMOVE = "tombstones_remove";
    TOMBSTONES_WRITE = "tombstones_write";
}

/// Stands in a statement for the quoted name of the mirror's schema.
pub(super) const MIRROR: &str = "{mirror}";
