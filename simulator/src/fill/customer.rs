//! Customers.

use std::fmt::Write as _;

use super::{CITIES, CURRENCIES, FAMILY_NAMES, FIRST_NAMES};
use crate::account::Account;

/// A customer's id and JSON. `at` numbers it.
pub(super) fn write(account: &mut Account, created: i64, at: usize) -> (String, String) {
    let id = account.new_id_at("cus_", created);
    let livemode = account.livemode();
    let random = account.random();
    let first = random.pick(&FIRST_NAMES).copied().unwrap_or_default();
    let family = random.pick(&FAMILY_NAMES).copied().unwrap_or_default();
    let (city, country, postal_code) = random.pick(&CITIES).copied().unwrap_or_default();
    let currency = random.pick(&CURRENCIES).copied().unwrap_or_default();
    let number = random.number();
    let balance = if number.is_multiple_of(10) { -i64::from((number >> 20) as u16) } else { 0 };
    let (house, delinquent) = (number % 180 + 1, number % 50 == 1);
    let prefix = format!("{:08X}", (number >> 32) as u32);
    let mut json = String::with_capacity(1_300);
    // Writing into a String cannot fail.
    let _ = write!(
        json,
        r#"{{"address":{{"city":"{city}","country":"{country}","line1":"{house} Harbour Street","line2":null,"postal_code":"{postal_code}","state":null}},"balance":{balance},"created":{created},"currency":"{currency}","customer_account":null,"default_source":null,"delinquent":{delinquent},"description":"Customer number {at} of the simulated account, who came by the shop and stayed","discount":null,"email":"customer{at}@simulator.example","id":"{id}","invoice_prefix":"{prefix}","invoice_settings":{{"custom_fields":null,"default_payment_method":null,"footer":null,"rendering_options":null}},"livemode":{livemode},"metadata":{{"crm_id":"crm-{number:016x}","internal_account":"acc-{at:09}","plan":"team","referrer":"https://simulator.example/campaigns/spring?utm_source=newsletter&utm_medium=mail","signup_channel":"web","tenant":"tenant-{tenant:05}"}},"name":"{first} {family}","next_invoice_sequence":{sequence},"object":"customer","phone":"+4930{phone:08}","preferred_locales":["de","en"],"shipping":{{"address":{{"city":"{city}","country":"{country}","line1":"{house} Harbour Street","line2":null,"postal_code":"{postal_code}","state":null}},"name":"{first} {family}","phone":"+4930{phone:08}"}},"tax_exempt":"none","test_clock":null}}"#,
        tenant = number % 100_000,
        sequence = number % 60 + 1,
        phone = number % 100_000_000,
    );
    (id, json)
}
