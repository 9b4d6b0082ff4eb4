//! Write log lines to standard error.

use crate::{LogFormat, Logging, NodeError};
use tracing_subscriber::EnvFilter;

/// Installs the process-wide logger; one that is installed already stays.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(logging: &Logging) -> Result<(), NodeError> {
    let filter =
        EnvFilter::try_new(&logging.filter).map_err(|error| NodeError::Config(format!("logging.filter: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match logging.format {
        LogFormat::Plain => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
