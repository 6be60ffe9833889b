//! What Postgres complains of in its log, which no view counts.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const LOCK_TIMEOUT: &str = "canceling statement due to lock timeout";

/// Lock timeouts from a moment on.
#[derive(Debug)]
pub(super) struct LockTimeouts {
    /// None for a server whose log isn't ours to read.
    log: Option<(PathBuf, u64)>,
}

impl LockTimeouts {
    pub(super) fn since_now(log: Option<&Path>) -> Result<LockTimeouts> {
        let log = log.map(|path| {
            let length = std::fs::metadata(path)
                .with_context(|| format!("cannot read {}", path.display()))?
                .len();
            Ok::<_, anyhow::Error>((path.to_owned(), length))
        });
        Ok(LockTimeouts {
            log: log.transpose()?,
        })
    }

    /// How many there were since. None where the log can't be read.
    pub(super) fn count(&self) -> Result<Option<u64>> {
        let Some((path, from)) = &self.log else {
            return Ok(None);
        };
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(*from))?;
        let mut count = 0;
        for line in BufReader::new(file).split(b'\n') {
            if String::from_utf8_lossy(&line?).contains(LOCK_TIMEOUT) {
                count += 1;
            }
        }
        Ok(Some(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_later_counts() {
        let path = std::env::temp_dir().join(format!("backstock-log-{}", uuid::Uuid::now_v7()));
        let line = format!("ERROR:  {LOCK_TIMEOUT}\n");
        std::fs::write(&path, &line).unwrap();
        let timeouts = LockTimeouts::since_now(Some(&path)).unwrap();
        assert_eq!(timeouts.count().unwrap(), Some(0));
        std::fs::write(&path, format!("{line}{line}LOG:  another\n{line}")).unwrap();
        assert_eq!(timeouts.count().unwrap(), Some(2));
        std::fs::remove_file(path).unwrap();
        assert_eq!(LockTimeouts::since_now(None).unwrap().count().unwrap(), None);
    }
}
