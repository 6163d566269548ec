//! The endpoint a request counts for: its method and path with the ids taken out.

/// Collections whose ids users choose, so that they may look like words.
const COLLECTIONS_WITH_CHOSEN_IDS: [&str; 7] =
    ["coupons", "plans", "products", "skus", "exchange_rates", "country_specs", "tax_codes"];

/// `GET /v1/customers/{id}/sources` for `GET` and `/v1/customers/cus_1/sources?limit=100`.
pub(in crate::api) fn endpoint(method: &str, path: &str) -> String {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let mut template = format!("{method} ");
    let mut collection = "";
    for (at, segment) in path.trim_start_matches('/').split('/').enumerate() {
        let is_id = at > 0 && (COLLECTIONS_WITH_CHOSEN_IDS.contains(&collection) || !is_word(segment));
        template.push('/');
        template.push_str(if is_id { "{id}" } else { segment });
        collection = segment;
    }
    template
}

/// A name that Stripe gives: `payment_intents`. Ids have digits or capitals.
fn is_word(segment: &str) -> bool {
    segment.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn ids_are_taken_out_and_names_stay() {
        for (path, expected) in [
            ("/v1/customers", "GET /v1/customers"),
            ("/v1/customers/cus_N1?expand[]=x", "GET /v1/customers/{id}"),
            ("/v1/customers/cus_N1/sources/card_9", "GET /v1/customers/{id}/sources/{id}"),
            ("/v1/billing_portal/configurations/bpc_1", "GET /v1/billing_portal/configurations/{id}"),
            ("/v1/coupons/gold", "GET /v1/coupons/{id}"),
            ("/v1/products/gold/features/pf_1", "GET /v1/products/{id}/features/{id}"),
            ("/v1/coupons/%C3%A4", "GET /v1/coupons/{id}"),
            ("/v2/core/events/evt_1", "GET /v2/core/events/{id}"),
        ] {
            assert_eq!(endpoint("GET", path), expected);
        }
        assert_eq!(endpoint("POST", "/v1/webhook_endpoints"), "POST /v1/webhook_endpoints");
    }
}
