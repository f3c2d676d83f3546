//! Keys, and what they seal.
//!
//! One master key wraps a data key for each tenant; data keys seal small values (XChaCha20-Poly1305, a random nonce
//! each). A sealed value is bound to its tenant, its column and its key: copied elsewhere it does not open.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The environment variable that holds the master key itself.
pub const MASTER_KEY: &str = "HARNESS_MASTER_KEY";
/// The environment variable that names a file with the master key.
pub const MASTER_KEY_FILE: &str = "HARNESS_MASTER_KEY_FILE";

const NONCE: usize = 24;

/// Why a key is of no use. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error(
        "{place} does not hold a master key: give 32 bytes as 64 hex digits or as base64 (`openssl rand -hex 32` makes one)"
    )]
    Malformed {
        /// Where it was read.
        place: String,
    },
    /// Others may read it.
    #[error("the master key file {} can be read by others (mode {mode:03o}): run `chmod 600 {0}`", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be read or made.
    #[error("the master key file {} cannot be used ({cause}): check {MASTER_KEY_FILE} and the permissions of its folder", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes, so no key can be made")]
    NoRandom,
    /// The value was sealed with another key, for another place, or was changed.
    #[error(
        "a sealed value does not open: it was made with another master key or was changed; check {MASTER_KEY} and {MASTER_KEY_FILE}"
    )]
    DoesNotOpen,
}

/// A text that stays out of logs and out of freed memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. The name is long so that its uses are found.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// The master key of a harness. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    master: std::sync::Arc<Zeroizing<[u8; 32]>>,
    fingerprint: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.fingerprint)
    }
}

impl Keys {
    /// The master key from the environment, else from `master.key` in the data folder, made there on first use.
    ///
    /// # Errors
    /// When what is given is no key, or its file is readable by others.
    pub fn load(data_folder: &Path) -> Result<Self, KeyError> {
        let text = std::env::var(MASTER_KEY).ok().map(Zeroizing::new);
        let file = std::env::var_os(MASTER_KEY_FILE).map(PathBuf::from);
        Self::find(text, file, data_folder)
    }

    /// [`load`](Self::load) with the environment given.
    ///
    /// # Errors
    /// As there.
    pub fn find(
        text: Option<Zeroizing<String>>,
        file: Option<PathBuf>,
        data_folder: &Path,
    ) -> Result<Self, KeyError> {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            return Self::parse(&text, MASTER_KEY);
        }
        // A file somebody named must be there: making a new one would lock them out of what the old one sealed.
        if let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) {
            return Self::read(&file);
        }
        let file = data_folder.join("master.key");
        match Self::read(&file) {
            Err(KeyError::File { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
        match make_key_file(&file) {
            // Another process was faster: its key counts.
            Err(KeyError::File { cause, .. }) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        Self::read(&file)
    }

    /// A master key from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let master = Zeroizing::new(bytes);
        let print = hmac(&master, &[b"fingerprint"]);
        let fingerprint = hex::encode(print.first_chunk::<6>().copied().unwrap_or_default());
        Self { master: std::sync::Arc::new(master), fingerprint }
    }

    /// Names this master key without giving it away.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A MAC over a hash of data kept outside the store. `label` separates uses from each other.
    pub fn mac(&self, label: &str, data_hash: &[u8]) -> [u8; 32] {
        let key = self.derive("mac");
        // The length keeps label and data apart.
        let length = (label.len() as u64).to_be_bytes();
        hmac(&key, &[&length, label.as_bytes(), data_hash])
    }

    /// A fresh data key for a tenant, and how it is stored.
    pub(crate) fn new_tenant_key(&self, tenant: &str, no: u32) -> Result<(TenantKey, String), KeyError> {
        let mut data = Zeroizing::new([0_u8; 32]);
        getrandom::fill(data.as_mut()).map_err(|_| KeyError::NoRandom)?;
        let wrapped = seal(&self.derive("wrap"), &aad(tenant, "tenant-key", no), data.as_ref())?;
        Ok((TenantKey { tenant: tenant.to_owned(), no, data }, wrapped))
    }

    /// A stored data key.
    pub(crate) fn tenant_key(&self, tenant: &str, no: u32, wrapped: &str) -> Result<TenantKey, KeyError> {
        let bytes = open(&self.derive("wrap"), &aad(tenant, "tenant-key", no), wrapped)?;
        let data = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::DoesNotOpen)?;
        Ok(TenantKey { tenant: tenant.to_owned(), no, data: Zeroizing::new(data) })
    }

    fn derive(&self, use_: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hmac(&self.master, &[b"derive\0", use_.as_bytes()]))
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |cause| KeyError::File { path: path.to_owned(), cause };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::TooOpen { path: path.to_owned(), mode });
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = hex::decode(text)
            .ok()
            .or_else(|| STANDARD.decode(text).ok())
            .or_else(|| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
            .map(Zeroizing::new);
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        key.map(Self::from_bytes).ok_or_else(|| KeyError::Malformed { place: place.to_owned() })
    }
}

/// Makes the default key file, readable by its owner only, or fails if there is one.
fn make_key_file(path: &Path) -> Result<(), KeyError> {
    use std::io::Write;
    let failed = |cause| KeyError::File { path: path.to_owned(), cause };
    if let Some(folder) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|_| KeyError::NoRandom)?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(bytes.as_ref())));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Under its own name only when whole: a crash in between must not leave half a key behind.
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = options.open(&draft).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft).map_err(failed)?;
    linked.map_err(failed)
}

/// Seals and opens the values of one tenant.
pub(crate) struct TenantKey {
    tenant: String,
    no: u32,
    data: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TenantKey({})", self.no)
    }
}

impl TenantKey {
    /// The sealed form of a value of a column: the key's number, then nonce and ciphertext.
    pub fn seal(&self, column: &str, value: &[u8]) -> Result<String, KeyError> {
        let sealed = seal(&self.data, &aad(&self.tenant, column, self.no), value)?;
        Ok(format!("{}.{sealed}", self.no))
    }

    /// The value again.
    pub fn open(&self, column: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let sealed = sealed.split_once('.').filter(|(no, _)| no.parse() == Ok(self.no));
        let (_, sealed) = sealed.ok_or(KeyError::DoesNotOpen)?;
        open(&self.data, &aad(&self.tenant, column, self.no), sealed)
    }
}

/// Binds a sealed value to its place.
fn aad(tenant: &str, column: &str, no: u32) -> Vec<u8> {
    format!("{tenant}\0{column}\0{no}").into_bytes()
}

fn seal(key: &[u8; 32], aad: &[u8], value: &[u8]) -> Result<String, KeyError> {
    let mut nonce = [0_u8; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| KeyError::NoRandom)?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: value, aad });
    let mut whole = nonce.to_vec();
    whole.extend(sealed.map_err(|_| KeyError::DoesNotOpen)?);
    Ok(URL_SAFE_NO_PAD.encode(whole))
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let whole = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| KeyError::DoesNotOpen)?;
    let (nonce, sealed) = whole.split_first_chunk::<NONCE>().ok_or(KeyError::DoesNotOpen)?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let value = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad });
    value.map(Zeroizing::new).map_err(|_| KeyError::DoesNotOpen)
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC fills a short key up with zeros to a block; given a whole block it cannot fail.
    let mut block = Zeroizing::new([0_u8; 64]);
    block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_in_their_place() {
        let keys = Keys::from_bytes([7; 32]);
        let (key, wrapped) = keys.new_tenant_key("t", 1).unwrap();
        let sealed = key.seal("history.old", b"secret").unwrap();
        assert!(!sealed.contains("secret"));
        let again = keys.tenant_key("t", 1, &wrapped).unwrap();
        assert_eq!(again.open("history.old", &sealed).unwrap().as_slice(), b"secret");
        assert!(again.open("history.new", &sealed).is_err(), "another column");
        assert!(keys.tenant_key("u", 1, &wrapped).is_err(), "another tenant");
        assert!(Keys::from_bytes([8; 32]).tenant_key("t", 1, &wrapped).is_err(), "another master key");
        assert_ne!(sealed, key.seal("history.old", b"secret").unwrap(), "a nonce is never used twice");
    }

    #[test]
    fn nothing_secret_in_debug() {
        let keys = Keys::from_bytes([7; 32]);
        let (key, _) = keys.new_tenant_key("t", 1).unwrap();
        let shown = format!("{:?} {:?} {key:?}", Secret::new("hush"), keys);
        assert!(!shown.contains("hush") && !shown.contains("0707") && !shown.contains("7, 7"));
    }

    #[test]
    fn macs_depend_on_key_label_and_data() {
        let keys = Keys::from_bytes([7; 32]);
        let mac = keys.mac("component", b"hash");
        assert_eq!(mac, keys.mac("component", b"hash"));
        for other in [
            keys.mac("component", b"hasi"),
            keys.mac("componen", b"thash"),
            Keys::from_bytes([8; 32]).mac("component", b"hash"),
        ] {
            assert_ne!(mac, other);
        }
    }

    #[test]
    fn master_keys_are_found_in_order_and_made_last() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let made = Keys::find(None, None, &data).unwrap();
        assert_eq!(made.fingerprint(), Keys::find(None, None, &data).unwrap().fingerprint());

        let hex = Zeroizing::new("07".repeat(32));
        let seven = Keys::from_bytes([7; 32]);
        let found = Keys::find(Some(hex), None, &data).unwrap();
        assert_eq!(found.fingerprint(), seven.fingerprint());
        let base64 = Zeroizing::new(STANDARD.encode([7; 32]));
        let found = Keys::find(Some(base64), None, &data).unwrap();
        assert_eq!(found.fingerprint(), seven.fingerprint());

        let missing = Keys::find(None, Some(folder.path().join("nowhere")), &data).unwrap_err();
        assert!(missing.to_string().contains(MASTER_KEY_FILE), "{missing}");
        let short = Keys::find(Some(Zeroizing::new("0707".into())), None, &data).unwrap_err();
        assert!(short.to_string().contains("openssl rand"), "{short}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Keys::find(None, None, folder.path()).unwrap();
        let file = folder.path().join("master.key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Keys::find(None, None, folder.path()).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
