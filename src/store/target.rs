//! Where the database is: taken from a URL, or put together from its parts.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use url::Url;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A file.
    Sqlite(PathBuf),
    /// A server, as diesel's URL: `mysql://user:password@host:port/schema`, percent-encoded.
    MySql(String),
}

/// Why something does not say where a database is. The text never holds the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Only two kinds of databases are known.
    #[error("the database's URL begins with {found:?}; it begins with sqlite:// or mysql://")]
    Scheme {
        /// What stands where the scheme should.
        found: String,
    },
    /// A CA for a file.
    #[error("the database is a file; TWIN_DB_CA is for a server")]
    NoServer,
    /// SQLite without a file would forget everything.
    #[error("the database's URL names no file; write sqlite://path/to/file")]
    NoFile,
    /// Not a URL in form.
    #[error(
        "the database's URL cannot be read: {reason}; write mysql://user:password@host:port/schema, \
         with %40 for @, %3A for :, %2F for / and %25 for % within a name or password"
    )]
    Form {
        /// What is wrong with it.
        reason: String,
    },
    /// The URL leaves something out.
    #[error("the database's URL names no {what}; write mysql://user:password@host:port/schema")]
    Missing {
        /// What is not there.
        what: &'static str,
    },
    /// Schema names reach the server as they are written.
    #[error(
        "schema {schema:?} holds {found:?}; letters, digits, _, - and $ of ASCII may stand there"
    )]
    Schema {
        /// The name as it came.
        schema: String,
        /// The first character that may not be there.
        found: char,
    },
    /// Not a name or address of a machine.
    #[error("{host:?} is no name or address of a database server")]
    Host {
        /// The name as it came.
        host: String,
    },
}

impl Target {
    /// Reads `sqlite://file` or `mysql://user:password@host:port/schema?ssl_ca=file`.
    ///
    /// `localhost` with a port is taken as 127.0.0.1, as a port means TCP; without one it is the
    /// server's socket. With `ssl_ca`, there is no connection without TLS and a certificate of that
    /// CA for that host, unless `ssl_mode` says otherwise.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong and how it is written.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        match url.split_once("://") {
            Some(("sqlite", "")) => Err(TargetError::NoFile),
            Some(("sqlite", ":memory:")) => Err(TargetError::NoFile),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("mysql", _)) => {
                let url = Url::parse(url)
                    .map_err(|error| TargetError::Form { reason: error.to_string() })?;
                checked(url)
            }
            Some((found, _)) => Err(TargetError::Scheme { found: found.to_owned() }),
            None => Err(TargetError::Scheme { found: url.split(':').next().unwrap_or("").into() }),
        }
    }

    /// Puts a server's address together; what needs it is percent-encoded.
    ///
    /// # Errors
    /// [`TargetError`] if the host or the schema cannot be named in a URL.
    pub fn mysql(
        user: &str,
        password: &str,
        host: &str,
        port: u16,
        schema: &str,
        ca_file: Option<&Path>,
    ) -> Result<Self, TargetError> {
        let no_host = || TargetError::Host { host: host.to_owned() };
        let form = |error: url::ParseError| TargetError::Form { reason: error.to_string() };
        let mut url = Url::parse("mysql://host/").map_err(form)?;
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        url.set_host(Some(&bracketed)).map_err(|_error| no_host())?;
        url.set_port(Some(port)).map_err(|()| no_host())?;
        url.set_username(user).map_err(|()| no_host())?;
        url.set_password(Some(password)).map_err(|()| no_host())?;
        check_schema(schema)?;
        url.set_path(schema);
        if let Some(file) = ca_file {
            url.query_pairs_mut().append_pair("ssl_ca", &file.to_string_lossy());
        }
        checked(url)
    }
}

impl Target {
    /// The same, with a connection only by TLS and a certificate of this CA.
    ///
    /// # Errors
    /// [`TargetError::NoServer`] for a file, to which nothing is sent.
    pub fn with_ca(self, ca_file: &Path) -> Result<Self, TargetError> {
        match self {
            Self::Sqlite(_) => Err(TargetError::NoServer),
            Self::MySql(url) => {
                let form = |error: url::ParseError| TargetError::Form { reason: error.to_string() };
                let mut url = Url::parse(&url).map_err(form)?;
                url.query_pairs_mut().append_pair("ssl_ca", &ca_file.to_string_lossy());
                checked(url)
            }
        }
    }

    /// The CA by which the server must show that it is the one that is meant, by name.
    pub(super) fn ca_file(&self) -> Option<PathBuf> {
        let Self::MySql(url) = self else { return None };
        let url = Url::parse(url).ok()?;
        let value = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        value("ssl_mode").filter(|mode| mode.eq_ignore_ascii_case("VERIFY_IDENTITY"))?;
        value("ssl_ca").map(PathBuf::from)
    }

    /// Whether the server must show a certificate.
    pub(super) fn wants_tls(&self) -> bool {
        let query = match self {
            Self::Sqlite(_) => None,
            Self::MySql(url) => url.split_once('?'),
        };
        query.is_some_and(|(_, query)| query.contains("ssl_ca="))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Target {
    /// Names the database without the user and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::MySql(url) => {
                let place = url.rsplit_once('@').map_or("", |(_, place)| place);
                write!(f, "mysql://{}", place.split('?').next().unwrap_or(place))
            }
        }
    }
}

fn checked(mut url: Url) -> Result<Target, TargetError> {
    let missing = |what| TargetError::Missing { what };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| missing("host"))?;
    if url.username().is_empty() {
        return Err(missing("user"));
    }
    check_schema(url.path().trim_start_matches('/'))?;
    if host == "localhost" && url.port().is_some() {
        url.set_host(Some("127.0.0.1")).map_err(|_error| missing("host"))?;
    }
    let asks = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    if asks("ssl_ca") && !asks("ssl_mode") {
        url.query_pairs_mut().append_pair("ssl_mode", "VERIFY_IDENTITY");
    }
    Ok(Target::MySql(url.into()))
}

fn check_schema(schema: &str) -> Result<(), TargetError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    match schema.chars().find(|&c| !plain(c)) {
        _ if schema.is_empty() => Err(TargetError::Missing { what: "schema" }),
        Some(found) => Err(TargetError::Schema { schema: schema.to_owned(), found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        Target::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_file_may_be_relative_or_absolute() {
        assert_eq!(
            Target::parse("sqlite://data/twins.db"),
            Ok(Target::Sqlite("data/twins.db".into()))
        );
        assert_eq!(Target::parse("sqlite:///var/t.db"), Ok(Target::Sqlite("/var/t.db".into())));
    }

    #[test]
    fn parts_and_url_say_the_same() {
        let parts = Target::mysql("manager", "p@:/%", "db.example", 3307, "twins", None);
        assert_eq!(parts, Target::parse("mysql://manager:p%40%3A%2F%@db.example:3307/twins"));
    }

    #[test]
    fn a_ca_has_the_server_s_name_checked() {
        let ca = Path::new("/etc/ca file.pem");
        let target = Target::mysql("m", "p", "::1", 3306, "twins", Some(ca)).unwrap();
        let Target::MySql(url) = target else { panic!("{target}") };
        assert_eq!(
            url,
            "mysql://m:p@[::1]:3306/twins?ssl_ca=%2Fetc%2Fca+file.pem&ssl_mode=VERIFY_IDENTITY"
        );
    }

    #[test]
    fn localhost_with_a_port_is_reached_over_tcp() {
        let target = Target::parse("mysql://m:p@localhost:3306/twins").unwrap();
        assert_eq!(target.to_string(), "mysql://127.0.0.1:3306/twins");
        let target = Target::parse("mysql://m:p@localhost/twins").unwrap();
        assert_eq!(target.to_string(), "mysql://localhost/twins");
    }

    #[test]
    fn the_password_is_never_shown() {
        let target = Target::parse("mysql://m:top%40secret@db:1/t?ssl_ca=x").unwrap();
        assert_eq!(format!("{target} {target:?}"), "mysql://db:1/t mysql://db:1/t");
        for url in ["mysql://m:secret@/t", "mysql://m:secret@db/", "mysql://m:secret@db:x/t"] {
            assert!(!error(url).contains("secret"), "{}", error(url));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(
            error("postgres://db"),
            "the database's URL begins with \"postgres\"; it begins with sqlite:// or mysql://"
        );
        assert_eq!(
            error("sqlite://"),
            "the database's URL names no file; write sqlite://path/to/file"
        );
        assert_eq!(
            error("mysql://m:p@db"),
            "the database's URL names no schema; write mysql://user:password@host:port/schema"
        );
        assert_eq!(
            error("mysql://m:p@db/a.b"),
            "schema \"a.b\" holds '.'; letters, digits, _, - and $ of ASCII may stand there"
        );
        assert!(error("mysql://m:p@db:x/t").contains("invalid port number"));
    }
}
