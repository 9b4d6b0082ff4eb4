//! Run test files in parallel and count what passes.

use std::{
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Deep call chains of the tests fit into this.
const STACK_BYTES: usize = 64 << 20;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// Not as expected, and how.
    Failed(String),
    /// Not run, and why.
    Skipped(String),
}

/// One test and how it ended.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name for people.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
}

impl Case {
    /// A test that failed because of `reason`.
    pub fn failed(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { name: name.into(), verdict: Verdict::Failed(reason.to_string()) }
    }
}

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
}

/// What a test format has to say about its files.
#[derive(Clone, Copy)]
pub struct Format {
    /// Adds the tests at or below a path.
    pub find: fn(&Path, &mut Vec<PathBuf>) -> io::Result<()>,
    /// Runs all tests of one of them.
    pub check: fn(&Path) -> Vec<Case>,
}

fn guarded(check: fn(&Path) -> Vec<Case>, path: &Path) -> Vec<Case> {
    panic::catch_unwind(AssertUnwindSafe(|| check(path))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        vec![Case::failed(path.display().to_string(), format!("panicked: {text}"))]
    })
}

/// Runs every test at or below `paths` on all processors; reports failures and skips to `out` as they happen.
///
/// A path that can't be read counts as one failure.
pub fn run(format: Format, paths: &[PathBuf], out: &mut (dyn Write + Send)) -> Tally {
    let (mut files, mut cases) = (Vec::new(), Vec::new());
    for path in paths {
        if let Err(error) = (format.find)(path, &mut files) {
            cases.push(Case::failed(path.display().to_string(), error));
        }
    }
    let (next, sum) = (AtomicUsize::new(0), Mutex::new((Tally::default(), out)));
    count(&sum, &cases);
    let work = || {
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            count(&sum, &guarded(format.check, path));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).max(1);
    std::thread::scope(|scope| {
        let started = (0..threads)
            .filter(|_| std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).is_ok())
            .count();
        if started == 0 {
            work();
        }
    });
    sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0
}

fn count(sum: &Mutex<(Tally, &mut (dyn Write + Send))>, cases: &[Case]) {
    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (tally, out) = &mut *sum;
    for case in cases {
        // A closed pipe does not change the verdict, which is also the exit status.
        let _ = match &case.verdict {
            Verdict::Passed => {
                tally.passed += 1;
                Ok(())
            }
            Verdict::Failed(reason) => {
                tally.failed += 1;
                writeln!(out, "FAILED {}: {reason}", case.name)
            }
            Verdict::Skipped(reason) => {
                tally.skipped += 1;
                writeln!(out, "SKIPPED {}: {reason}", case.name)
            }
        };
    }
}

/// The `main` of a binary that runs one format: paths as arguments, the tally as last line.
#[must_use]
pub fn main(format: Format, usage: &str) -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() || paths.iter().any(|path| path.as_os_str() == "--help") {
        let _ = writeln!(io::stderr(), "{usage}");
        return ExitCode::from(2);
    }
    let mut out = io::stdout();
    let tally = run(format, &paths, &mut out);
    let _ = writeln!(out, "{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed == 0 && tally.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads a file, unpacking it when its name ends in `.gz`.
///
/// # Errors
/// When it can't be read or is not what its name says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()), &mut unpacked)?;
    Ok(unpacked)
}

/// The entries of a folder in the order of their names, without hidden ones.
///
/// # Errors
/// When it can't be read.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
