//! Keep the validator's Ed25519 key in a file that only its owner can read.

use crate::NodeError;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Reads the key file, or makes it with mode 0600.
///
/// # Errors
/// When it cannot be read or written, is readable by others, or holds no key.
pub(crate) fn load_or_create(path: &Path) -> Result<[u8; 32], NodeError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode = fs::metadata(path).map_err(|error| NodeError::file(path, error))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(NodeError::file(path, "other users can read this secret key; run chmod 600 on it"));
            }
            if text.trim_start().starts_with('{') {
                return Err(NodeError::file(path, "it is encrypted: start the node with `candela validator run`"));
            }
            alloy_primitives::hex::decode_to_array(text.trim())
                .map_err(|_| NodeError::file(path, "it does not hold 32 bytes in hexadecimal"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(error) => Err(NodeError::file(path, error)),
    }
}

fn create(path: &Path) -> Result<[u8; 32], NodeError> {
    let secret: [u8; 32] = rand::random();
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(alloy_primitives::hex::encode(secret).as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| NodeError::file(path, error))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_refused_when_others_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("validator.key");
        let secret = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), secret);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn an_encrypted_key_is_neither_read_nor_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("validator.key");
        fs::write(&path, "{\"version\": 3}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("it is encrypted"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"version\": 3}");
    }
}
