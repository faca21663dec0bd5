//! Passwords as EMQX and mosquitto keep them.

use std::{fmt, str::FromStr};

use openssl::{
    base64::encode_block, error::ErrorStack, hash::MessageDigest, pkcs5::pbkdf2_hmac, rand,
};

/// bcrypt doubles its work with each; EMQX's own default.
const BCRYPT_COST: u32 = 10;
/// bcrypt looks at no more than these bytes.
const BCRYPT_BYTES: usize = 72;
/// What EMQX 5 takes unless told otherwise; EMQX 4 has to be told.
const PBKDF2_ROUNDS: usize = 4096;
/// What mosquitto_passwd takes.
const MOSQUITTO_ROUNDS: usize = 101;
const MOSQUITTO_SALT: usize = 12;

/// How EMQX is told to verify passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// bcrypt, of cost 10, in the form `$2a$`, which every EMQX reads. The salt is in the hash, and stands in the column
    /// for it as well, where EMQX 4 looks.
    #[default]
    Bcrypt,
    /// SHA-256 of the salt and the password.
    Sha256Prefix,
    /// SHA-256 of the password and the salt.
    Sha256Suffix,
    /// PBKDF2 with SHA-256, 4096 rounds, 32 bytes.
    Pbkdf2Sha256,
    /// PBKDF2 with SHA-512, 4096 rounds, 64 bytes: more than fits into EMQX 4's column of 100 characters.
    Pbkdf2Sha512,
}

/// Their names on a command line.
const NAMES: [(&str, Hash); 5] = [
    ("bcrypt", Hash::Bcrypt),
    ("sha256-prefix", Hash::Sha256Prefix),
    ("sha256-suffix", Hash::Sha256Suffix),
    ("pbkdf2-sha256", Hash::Pbkdf2Sha256),
    ("pbkdf2-sha512", Hash::Pbkdf2Sha512),
];

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, hash)| hash == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, hash)| *hash).ok_or_else(|| HashError::Unknown(text.to_owned()))
    }
}

/// Why there is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No such hash.
    #[error(
        "{0:?} is none of bcrypt, sha256-prefix, sha256-suffix, pbkdf2-sha256 and pbkdf2-sha512"
    )]
    Unknown(String),
    /// Nothing.
    #[error("the password is empty")]
    Empty,
    /// bcrypt would not look at all of it.
    #[error("the password has {0} bytes, and bcrypt looks at no more than 72; take another hash")]
    TooLong(usize),
    /// A character that ends texts in C.
    #[error("the password holds a NUL character")]
    Nul,
    /// OpenSSL fails.
    #[error("OpenSSL: {0}")]
    OpenSsl(String),
    /// bcrypt fails.
    #[error("bcrypt: {0}")]
    Bcrypt(String),
}

impl From<ErrorStack> for HashError {
    fn from(error: ErrorStack) -> Self {
        Self::OpenSsl(error.to_string())
    }
}

/// A password as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The hash, in hexadecimal, or as bcrypt has it.
    pub hash: String,
    /// The salt, as text.
    pub salt: String,
}

impl Hash {
    /// Hashes a password with a salt by chance.
    ///
    /// ```
    /// use twinthing::rights::Hash;
    ///
    /// let (one, other) = (Hash::Bcrypt.of("secret")?, Hash::Bcrypt.of("secret")?);
    /// assert!(one.hash.starts_with("$2a$10$") && one.hash.len() == 60);
    /// assert_ne!(one, other);
    /// # Ok::<(), twinthing::rights::HashError>(())
    /// ```
    ///
    /// # Errors
    /// [`HashError`] for a password that cannot be hashed so.
    pub fn of(self, password: &str) -> Result<Hashed, HashError> {
        check(password)?;
        let mut salt = [0; 16];
        rand::rand_bytes(&mut salt)?;
        match self {
            Self::Bcrypt => bcrypt_of(password, salt),
            Self::Sha256Prefix | Self::Sha256Suffix | Self::Pbkdf2Sha256 | Self::Pbkdf2Sha512 => {
                let salt = hex(&salt);
                Ok(Hashed { hash: self.salted(password, &salt)?, salt })
            }
        }
    }

    /// Whether a hash may be of this kind, by its form.
    ///
    /// ```
    /// use twinthing::rights::Hash;
    ///
    /// let hashed = Hash::Sha256Suffix.of("secret")?;
    /// assert!(Hash::Sha256Suffix.may_be(&hashed.hash) && !Hash::Bcrypt.may_be(&hashed.hash));
    /// # Ok::<(), twinthing::rights::HashError>(())
    /// ```
    #[must_use]
    pub fn may_be(self, hash: &str) -> bool {
        let is_hex =
            |digits| hash.len() == digits && hash.chars().all(|digit| digit.is_ascii_hexdigit());
        match self {
            Self::Bcrypt => hash.len() == 60 && hash.starts_with("$2"),
            Self::Sha256Prefix | Self::Sha256Suffix | Self::Pbkdf2Sha256 => is_hex(64),
            Self::Pbkdf2Sha512 => is_hex(128),
        }
    }

    /// The hash with this salt, for those that take any text.
    fn salted(self, password: &str, salt: &str) -> Result<String, HashError> {
        let derived = |digest, bytes| -> Result<String, HashError> {
            let mut key = vec![0; bytes];
            let (password, salt) = (password.as_bytes(), salt.as_bytes());
            pbkdf2_hmac(password, salt, PBKDF2_ROUNDS, digest, &mut key)?;
            Ok(hex(&key))
        };
        let sha256 = |text: String| -> Result<String, HashError> {
            Ok(hex(&openssl::hash::hash(MessageDigest::sha256(), text.as_bytes())?))
        };
        match self {
            Self::Bcrypt => Err(HashError::Bcrypt("it makes its own salt".to_owned())),
            Self::Sha256Prefix => sha256(format!("{salt}{password}")),
            Self::Sha256Suffix => sha256(format!("{password}{salt}")),
            Self::Pbkdf2Sha256 => derived(MessageDigest::sha256(), 32),
            Self::Pbkdf2Sha512 => derived(MessageDigest::sha512(), 64),
        }
    }

    /// Hashes a password for mosquitto's `password_file`.
    ///
    /// ```
    /// use twinthing::rights::Hash;
    ///
    /// assert!(Hash::for_mosquitto("secret")?.starts_with("$7$101$"));
    /// # Ok::<(), twinthing::rights::HashError>(())
    /// ```
    ///
    /// # Errors
    /// [`HashError`] for a password that cannot be hashed.
    pub fn for_mosquitto(password: &str) -> Result<String, HashError> {
        check(password)?;
        let mut salt = [0; MOSQUITTO_SALT];
        rand::rand_bytes(&mut salt)?;
        mosquitto_of(password, &salt)
    }
}

fn check(password: &str) -> Result<(), HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if password.contains('\0') { Err(HashError::Nul) } else { Ok(()) }
}

fn bcrypt_of(password: &str, salt: [u8; 16]) -> Result<Hashed, HashError> {
    if password.len() > BCRYPT_BYTES {
        return Err(HashError::TooLong(password.len()));
    }
    let parts = bcrypt::hash_with_salt(password, BCRYPT_COST, salt)
        .map_err(|error| HashError::Bcrypt(error.to_string()))?;
    let hash = parts.format_for_version(bcrypt::Version::TwoA);
    // `$2a$10$` and 22 characters.
    let salt = hash.get(..29).unwrap_or_default().to_owned();
    Ok(Hashed { hash, salt })
}

fn mosquitto_of(password: &str, salt: &[u8]) -> Result<String, HashError> {
    let mut key = [0; 64];
    pbkdf2_hmac(password.as_bytes(), salt, MOSQUITTO_ROUNDS, MessageDigest::sha512(), &mut key)?;
    Ok(format!("$7${MOSQUITTO_ROUNDS}${}${}", encode_block(salt), encode_block(&key)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_python_s_hashlib() {
        // python3 -c 'import hashlib as h; p,s="Glühlampe".encode(),b"0123abcd"; …'
        for (hash, expected) in VECTORS {
            assert_eq!(hash.salted("Glühlampe", "0123abcd").unwrap(), expected, "{hash}");
        }
    }

    #[test]
    fn bcrypt_is_that_of_libxcrypt() {
        // python3 -c 'import crypt; print(crypt.crypt("Glühlampe", "$2a$10$abcdefghijklmnopqrstuu"))', with the salt's bytes
        let salt = [
            0x71, 0xd7, 0x9f, 0x82, 0x18, 0xa3, 0x92, 0x59, 0xa7, 0xa2, 0x9a, 0xab, 0xb2, 0xdb,
            0xaf, 0xc3,
        ];
        let hashed = bcrypt_of("Glühlampe", salt).unwrap();
        assert_eq!(hashed.hash, BCRYPT);
        assert_eq!(hashed.salt, "$2a$10$abcdefghijklmnopqrstuu");
    }

    #[test]
    fn what_cannot_be_hashed_is_said() {
        assert_eq!(Hash::Bcrypt.of(""), Err(HashError::Empty));
        assert_eq!(Hash::Sha256Suffix.of("a\0b"), Err(HashError::Nul));
        assert_eq!(Hash::Bcrypt.of(&"x".repeat(73)), Err(HashError::TooLong(73)));
        assert!(Hash::Pbkdf2Sha256.of(&"x".repeat(73)).is_ok());
        for (name, hash) in NAMES {
            assert_eq!((name.parse::<Hash>().unwrap(), hash.to_string().as_str()), (hash, name));
        }
        assert!("md5".parse::<Hash>().unwrap_err().to_string().starts_with("\"md5\" is none of"));
    }

    const VECTORS: [(Hash, &str); 4] = [
        (Hash::Sha256Prefix, "6548c4211e055ef2a88a04c508625f783257aead307f3de4b12af204f9b3b3f5"),
        (Hash::Sha256Suffix, "d4b3d1c17a2feae3204f656c368b1f9ae133c02ed2d18179b4dfbd024b3d9583"),
        (Hash::Pbkdf2Sha256, "066f686b20bf194ef24786315746aee1a584093ed74b57fdfb2a3d9a295d63fc"),
        (
            Hash::Pbkdf2Sha512,
            "0f06d768b1e33934176824b52a417d402c275ff9e171e531b9b74384a58242a92e93571a7175e053adf3e82618070542db13759f945d611450af3b04de04c000",
        ),
    ];
    const BCRYPT: &str = "$2a$10$abcdefghijklmnopqrstuuzEhkKYDyWzobzwIOmRI0ryOIbEOjuUK";
}
