//! A CA is given so that no other server gets our passwords and rows.

use std::{path::Path, process::Command};

use twinthing::store::{Target, migrate};

use crate::mariadb::MariaDb;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .expect("openssl must be installed: apt-get install openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a CA, and a certificate for this machine by it.
fn certify(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let name = "-addext subjectAltName=IP:127.0.0.1";
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca"));
    openssl(folder, &format!("req -x509 {key} -keyout other.key -out other.pem -subj /CN=other"));
    let signed = "-CA ca.pem -CAkey ca.key -subj /CN=127.0.0.1";
    openssl(folder, &format!("req -x509 {key} {name} {signed} -keyout key.pem -out cert.pem"));
}

fn with_ca(url: &str, ca: &Path) -> Result<Vec<String>, String> {
    let target = Target::parse(&format!("{url}?ssl_ca={}", ca.display())).unwrap();
    migrate(&target).map_err(|error| error.to_string())
}

#[test]
fn with_a_ca_only_a_server_that_it_vouches_for_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name);
    let server = MariaDb::start_with(vec![
        format!("--ssl-cert={}", file("cert.pem").display()),
        format!("--ssl-key={}", file("key.pem").display()),
    ]);
    let url = server.fresh_schema();
    assert_eq!(with_ca(&url, &file("ca.pem")).map(|names| names.len()), Ok(3));
    let stranger = with_ca(&url, &file("other.pem")).unwrap_err();
    assert!(stranger.contains(" is not trusted: TLS/SSL error: "), "{stranger}");
}

#[test]
fn with_a_ca_a_server_without_tls_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let url = MariaDb::shared().fresh_schema();
    let (_, place) = url.split_once('@').unwrap();
    assert_eq!(
        with_ca(&url, &folder.path().join("ca.pem")),
        Err(format!(
            "mysql://{place} is not trusted: it does not speak TLS; \
             correct the CA file, or the server's certificate"
        ))
    );
}
