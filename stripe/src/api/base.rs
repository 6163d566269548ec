//! Where Stripe is, and URLs below it.

use std::net::IpAddr;

use reqwest::Url;

use super::ApiError;

/// Characters of a path with its query. Pages of v2 lists carry long cursors.
const PATH_BYTES_MAX: usize = 16 << 10;

/// The checked base of all URLs: no path, no user, and `https` unless it is this machine.
#[derive(Debug, Clone)]
pub(super) struct Base {
    url: Url,
    is_loopback: bool,
}

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = |why: &str| {
            ApiError::Configuration(format!(
                "the base URL of Stripe's API {why}; it looks like {} or http://127.0.0.1:4242",
                super::STRIPE_BASE
            ))
        };
        let url = Url::parse(text.trim()).map_err(|_| wrong("is no URL"))?;
        let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("contains a user name; the key is a setting of its own"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a path or a query, which it must not"));
        }
        let is_loopback = is_loopback(host);
        match url.scheme() {
            "https" => {}
            // The key would travel in the clear: only where it cannot leave the machine.
            "http" if is_loopback => {}
            "http" => return Err(wrong("is http:// to another machine, which would send the key unencrypted")),
            _ => return Err(wrong("is neither https:// nor http://")),
        }
        Ok(Self { url, is_loopback })
    }

    /// Whether requests stay on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether requests are encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL of a path, which may have a query already, and more parameters.
    pub(super) fn join(&self, path: &str, query: &[(String, String)]) -> Result<Url, ApiError> {
        let wrong =
            || ApiError::Configuration(format!("{path:?} is no path of Stripe's API; it begins with /v1/ or /v2/"));
        let bare = path.split_once('?').map_or(path, |(bare, _)| bare);
        let is_plain = path.len() <= PATH_BYTES_MAX
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'))
            && (bare.starts_with("/v1/") || bare.starts_with("/v2/"))
            && !bare.contains("//");
        if !is_plain {
            return Err(wrong());
        }
        let mut url = self.url.join(path).map_err(|_| wrong())?;
        // An id such as `..` would lead to another endpoint.
        if url.path() != bare || url.origin() != self.url.origin() {
            return Err(wrong());
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Path and query of a page that an answer names, absolute or not. Another host never gets the key.
    pub(super) fn next_page(&self, link: &str) -> Result<String, ApiError> {
        let wrong = |what: &str| {
            ApiError::Configuration(format!("the next page of a list is said to be {what}, which is not followed"))
        };
        if link.len() > PATH_BYTES_MAX {
            return Err(wrong("at an address of many kilobytes"));
        }
        let url = self.url.join(link).map_err(|_| wrong("at something that is no address"))?;
        if url.origin() != self.url.origin() || !url.username().is_empty() || url.password().is_some() {
            let host: String = url.host_str().unwrap_or("no host").chars().take(100).collect();
            return Err(wrong(&format!("on another host ({host})")));
        }
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        self.join(&path, &[]).map(|_| path)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An id as a part of a path: everything but letters, digits, `-`, `_` and `.` percent-encoded.
pub fn path_segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// A form as the body of a request.
pub(super) fn form_body(form: &[(String, String)]) -> String {
    let mut url = Url::parse("form:").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(form);
    }
    url.and_then(|url| url.query().map(ToOwned::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_bases_or_this_machine_will_do() {
        for good in [
            "https://api.stripe.com",
            "https://api.stripe.com/",
            "https://proxy.example:8443",
            "http://127.0.0.1:4242",
            "http://[::1]:4242",
            "http://localhost:4242",
            "http://127.9.9.9",
        ] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api.stripe.com",
            "http://api.stripe.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://169.254.169.254",
            "https://key@api.stripe.com",
            "https://api.stripe.com/v1",
            "https://api.stripe.com?x=1",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
        ] {
            assert!(matches!(Base::parse(bad), Err(ApiError::Configuration(_))), "{bad}");
        }
    }

    #[test]
    fn a_path_stays_what_and_where_it_is() {
        let base = Base::parse("https://api.stripe.com").unwrap();
        let query = [("created[gte]".to_owned(), "1 &ä".to_owned())];
        let url = base.join("/v2/core/events?page=abc", &query).unwrap();
        assert_eq!(url.as_str(), "https://api.stripe.com/v2/core/events?page=abc&created%5Bgte%5D=1+%26%C3%A4");
        for id in ["..", "."] {
            assert!(base.join(&format!("/v1/customers/{}", path_segment(id)), &[]).is_err(), "{id}");
        }
        for bad in [
            "",
            "v1/customers",
            "//evil.example/v1/",
            "/v1//customers",
            "https://evil.example/v1/x",
            "/v1/../admin",
            "/v1/%2e%2e/x",
            "/v1/a b",
            "/v1/a\\b",
            "/v1/a#b",
            "/v3/x",
            "/v1/ä",
        ] {
            assert!(base.join(bad, &[]).is_err(), "{bad}");
        }
        assert!(base.join(&format!("/v1/{}", "x".repeat(PATH_BYTES_MAX)), &[]).is_err());
    }

    #[test]
    fn chosen_ids_become_one_segment() {
        let base = Base::parse("https://api.stripe.com").unwrap();
        assert_eq!(path_segment("cus_N1"), "cus_N1");
        assert_eq!(path_segment("25% off/ä?x#y"), "25%25%20off%2F%C3%A4%3Fx%23y");
        let url = base.join(&format!("/v1/coupons/{}", path_segment("a/../b?c#d")), &[]).unwrap();
        assert_eq!(url.path(), "/v1/coupons/a%2F..%2Fb%3Fc%23d");
    }

    #[test]
    fn the_next_page_is_on_the_same_host_or_not_followed() {
        let base = Base::parse("https://api.stripe.com").unwrap();
        for (link, expected) in [
            ("/v2/core/events?page=x%3D", "/v2/core/events?page=x%3D"),
            ("https://api.stripe.com/v2/core/events?page=x", "/v2/core/events?page=x"),
            ("/v1/invoices/in_1/lines", "/v1/invoices/in_1/lines"),
        ] {
            assert_eq!(base.next_page(link).unwrap(), expected);
        }
        for foreign in [
            "https://evil.example/v2/x",
            "//evil.example/v2/x",
            "http://api.stripe.com/v2/x",
            "https://api.stripe.com:444/v2/x",
            "https://user@api.stripe.com/v2/x",
            "https://api.stripe.com.evil.example/v2/x",
            "/admin",
            "javascript:alert(1)",
        ] {
            assert!(base.next_page(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_form_is_encoded() {
        let form = [("enabled_events[]".to_owned(), "*".to_owned()), ("d".to_owned(), "a b&c=ä".to_owned())];
        assert_eq!(form_body(&form), "enabled_events%5B%5D=*&d=a+b%26c%3D%C3%A4");
        assert_eq!(form_body(&[]), "");
    }
}
