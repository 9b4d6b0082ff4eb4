//! Keep two engines off one directory.

use crate::EngineError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

/// Holds a directory until dropped or until the process dies.
pub struct DirectoryLock(#[allow(dead_code, reason = "holds the lock by being open")] File);

impl DirectoryLock {
    /// Creates `directory` when missing and takes its lock file without waiting.
    ///
    /// # Errors
    /// When another engine holds it or the system refuses.
    pub fn acquire(directory: &Path) -> Result<Self, EngineError> {
        let refused = |error: std::io::Error| EngineError::Directory {
            directory: directory.to_owned(),
            reason: error.to_string(),
        };
        fs::create_dir_all(directory).map_err(refused)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("candela.lock"))
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(EngineError::Locked(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }
}
