//! Certificates, made by openssl for one test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Issues certificates; its own is `<name>.pem` in its folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A new one, with this name.
    pub fn new(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        openssl(
            folder,
            &format!("req -x509 {KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"),
        );
        authority
    }

    /// The file with its own certificate.
    pub fn pem(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Issues a certificate to `whom`, as openssl's subjectAltName, for so many days: below 0 it has expired.
    pub fn issue(&self, file: &str, whom: &str, days: i32) -> Certificate {
        let Self { folder, name } = self;
        let request = format!("-keyout {file}.key -out {file}.csr -subj /CN={file}");
        openssl(folder, &format!("req {KEY} {request} -addext subjectAltName={whom}"));
        let by = format!("-CA {name}.pem -CAkey {name}.key -CAcreateserial -copy_extensions copy");
        openssl(folder, &format!("x509 -req -in {file}.csr {by} -days {days} -out {file}.pem"));
        let path = |ending: &str| folder.join(format!("{file}.{ending}"));
        Certificate { cert: path("pem"), key: path("key") }
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .expect("openssl must be installed: apt-get install openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
