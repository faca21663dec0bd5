//! A CA is given so that no other server gets our passwords and rows.

use std::path::Path;

use twinthing::store::{Target, migrate};

use crate::{certs::Authority, mariadb::MariaDb};

/// A server with a certificate of this authority for these names, for so many days.
fn server(ca: &Authority, whom: &str, days: i32) -> MariaDb {
    let own = ca.issue("server", whom, days);
    MariaDb::start_with(vec![
        format!("--ssl-cert={}", own.cert.display()),
        format!("--ssl-key={}", own.key.display()),
    ])
}

fn with_ca(url: &str, ca: &Path) -> Result<Vec<String>, String> {
    let target = Target::parse(&format!("{url}?ssl_ca={}", ca.display())).unwrap();
    migrate(&target).map_err(|error| error.to_string())
}

#[test]
fn with_a_ca_only_a_server_that_it_vouches_for_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "other"));
    let server = server(&ca, "IP:127.0.0.1", 2);
    let url = server.fresh_schema();
    assert_eq!(with_ca(&url, &ca.pem()).map(|names| names.len()), Ok(4));
    let stranger = with_ca(&url, &other.pem()).unwrap_err();
    let line = format!(
        " is not trusted: its certificate is by ca, and no CA in {} vouches for it; correct the CA file, or the \
         server's certificate",
        other.pem().display()
    );
    assert!(stranger.ends_with(&line), "{stranger}");
}

#[test]
fn with_a_ca_a_server_without_tls_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let url = MariaDb::shared().fresh_schema();
    let (_, place) = url.split_once('@').unwrap();
    assert_eq!(
        with_ca(&url, &ca.pem()),
        Err(format!(
            "mysql://{place} is not trusted: it does not speak TLS; \
             correct the CA file, or the server's certificate"
        ))
    );
}

#[test]
fn with_a_ca_a_server_whose_certificate_has_expired_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let server = server(&ca, "IP:127.0.0.1", -1);
    let url = server.fresh_schema();
    let expired = with_ca(&url, &ca.pem()).unwrap_err();
    assert!(expired.contains(" is not trusted: its certificate has expired, on "), "{expired}");
}

#[test]
fn with_a_ca_a_server_of_another_name_is_not_taken_unless_the_name_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let server = server(&ca, "DNS:elsewhere.example", 2);
    let url = server.fresh_schema();
    let other = with_ca(&url, &ca.pem()).unwrap_err();
    let line = " is not trusted: its certificate is for elsewhere.example, and not for 127.0.0.1; correct the CA file, or \
                the server's certificate";
    assert!(other.ends_with(line), "{other}");
    let any = format!("{url}?ssl_ca={}&ssl_mode=VERIFY_CA", ca.pem().display());
    assert_eq!(migrate(&Target::parse(&any).unwrap()).unwrap().len(), 4);
}
