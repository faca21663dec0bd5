//! TLS to the broker: who is trusted, and what is said of who is not.

use std::path::Path;

use twinthing::mqtt::{Fatal, MqttSettings};

use crate::{
    broker::Broker,
    certs::{Authority, Certificate},
    rig::{Rig, settings, until},
};

/// A broker that is not running yet, and what its certificates come from.
struct Site {
    broker: Broker,
    ca: Authority,
    other: Authority,
}

impl Site {
    fn new() -> Self {
        let mut broker = Broker::start();
        broker.stop();
        let folder = broker.folder().to_owned();
        let (ca, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
        Self { broker, ca, other }
    }

    /// Starts the broker with this certificate, and more lines.
    fn run(&mut self, own: &Certificate, lines: &str) {
        let Certificate { cert, key } = own;
        let (cert, key) = (cert.display(), key.display());
        self.broker.configure(&format!("certfile {cert}\nkeyfile {key}\n{lines}"));
        self.broker.run();
    }

    fn settings(&self, ca: &Path) -> MqttSettings {
        let mut settings = settings(self.broker.port());
        settings.access.ca_file = Some(ca.to_owned());
        settings.fail_fast = true;
        settings
    }

    /// What is said of the broker.
    async fn line(&self, given: MqttSettings) -> String {
        let rig = Rig::start(given);
        until("the broker is refused", || rig.fatal.len() == 1).await;
        assert_eq!(rig.link.len(), 0, "there is no connection");
        let Fatal(line) = rig.fatal.all().remove(0);
        let broker = format!("broker 127.0.0.1:{}", self.broker.port());
        line.strip_prefix(&broker).unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    async fn is_taken(&self, given: MqttSettings) {
        let rig = Rig::start(given);
        until("it connects", || rig.link.len() == 1).await;
        assert_eq!(rig.fatal.len(), 0);
    }
}

#[actix::test]
async fn a_broker_is_trusted_by_its_ca_and_its_name() {
    let mut site = Site::new();
    let (ca, other) = (site.ca.pem(), site.other.pem());
    let good = site.ca.issue("good", "IP:127.0.0.1,DNS:localhost", 2);
    site.run(&good, "");
    site.is_taken(site.settings(&ca)).await;
    let mut by_name = site.settings(&ca);
    by_name.access.host = "localhost".to_owned();
    site.is_taken(by_name).await;
    assert_eq!(
        site.line(site.settings(&other)).await,
        format!(
            " is not trusted: its certificate is by ca, and no CA in {} vouches for it; correct MQTT_CERT",
            other.display()
        )
    );
    site.broker.stop();
    let elsewhere = site.ca.issue("elsewhere", "DNS:elsewhere.example,IP:127.0.0.9", 2);
    site.run(&elsewhere, "");
    assert_eq!(
        site.line(site.settings(&ca)).await,
        " is not trusted: its certificate is for elsewhere.example, 127.0.0.9, and not for 127.0.0.1; correct \
         MQTT_HOST, or the certificate"
    );
    site.broker.stop();
    let old = site.ca.issue("old", "IP:127.0.0.1", -1);
    site.run(&old, "");
    let line = site.line(site.settings(&ca)).await;
    let expired = " is not trusted: its certificate has expired, on ";
    assert!(line.starts_with(expired) && line.ends_with(" GMT; renew it"), "{line}");
    site.broker.stop();
    site.broker.configure("");
    site.broker.run();
    let line = site.line(site.settings(&ca)).await;
    assert!(line.starts_with(" does not speak TLS there ("), "{line}");
    assert!(line.ends_with("); correct MQTT_PORT, or leave MQTT_CERT out"), "{line}");
}

#[actix::test]
async fn a_broker_that_wants_our_certificate_gets_it_or_is_said_to_want_it() {
    let mut site = Site::new();
    let ca = site.ca.pem();
    let good = site.ca.issue("good", "IP:127.0.0.1", 2);
    site.run(&good, &format!("cafile {}\nrequire_certificate true", ca.display()));
    let with = |own: &Certificate| {
        let mut settings = site.settings(&ca);
        settings.access.cert_file = Some(own.cert.clone());
        settings.access.key_file = Some(own.key.clone());
        settings
    };
    let mine = site.ca.issue("mine", "DNS:twinmgr", 2);
    site.is_taken(with(&mine)).await;
    let line = site.line(site.settings(&ca)).await;
    assert!(line.starts_with(" wants a certificate of ours: "), "{line}");
    assert!(line.ends_with("; set MQTT_CLIENT_CERT and MQTT_CLIENT_KEY"), "{line}");
    let foreign = site.other.issue("foreign", "DNS:twinmgr", 2);
    let line = site.line(with(&foreign)).await;
    assert!(line.starts_with(" refused MQTT_CLIENT_CERT: "), "{line}");
    assert!(line.ends_with("; a CA that it trusts has to have issued it"), "{line}");
}
