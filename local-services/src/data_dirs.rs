//! The directories of one purpose.
//!
//! `.backstock/shop/` holds locks, process records and the password; `.backstock/shop/data/` holds configuration and
//! data; `.backstock/logs/` the servers' logs. When root starts the servers and the clone lies where their account
//! cannot go (under `/root`, say), `data` is a link to a directory under `/var/tmp`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::Purpose;
use crate::account::Account;
use crate::home::home;

/// Free disk space that a start asks for: data of scale `s` with its template and clones, and 1 GB of write-ahead log.
const NEEDED_BYTES: u64 = 2 << 30;

/// Where the servers of one purpose keep what they keep.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) purpose: Purpose,
    /// Locks, process records, the password.
    pub(crate) state: PathBuf,
    /// Configuration and the servers' own directories.
    pub(crate) data: PathBuf,
    logs: PathBuf,
    pub(crate) account: Account,
    pub(crate) password: String,
}

impl Place {
    /// Makes the directories that do not exist yet.
    pub(crate) fn prepare(purpose: Purpose) -> Result<Place> {
        let home = home()?;
        let state = home.join(purpose.name());
        let logs = home.join("logs");
        for directory in [&home, &state, &logs] {
            make_directory(directory)?;
        }
        let password = password(&state.join("password"))?;
        let data = state.join("data");
        let account = Account::for_data(&data.join("postgres"))?;
        let mut place = Place {
            purpose,
            state,
            data,
            logs,
            account,
            password,
        };
        place.prepare_data()?;
        // The servers' account must find its way without walking through the link's own directory.
        place.data = fs::canonicalize(&place.data).context("the directory of data is gone")?;
        Ok(place)
    }

    fn prepare_data(&self) -> Result<()> {
        if self.data.is_symlink() {
            let target = fs::read_link(&self.data).context("cannot read the link to the data")?;
            return make_foreign_directory(&target).map(|_| ());
        }
        if !self.data.exists() && !self.account.can_enter(&self.state) {
            let mut hasher = DefaultHasher::new();
            self.state.hash(&mut hasher);
            let target = PathBuf::from(format!("/var/tmp/backstock-{:016x}", hasher.finish()));
            make_foreign_directory(&target)?;
            symlink(&target, &self.data).context("cannot link to the data")?;
        }
        make_directory(&self.data)?;
        make_directory(&self.data.join("config"))
    }

    /// A server's own directory, which only its account can read.
    pub(crate) fn server_directory(&self, server: &str) -> Result<PathBuf> {
        let directory = self.data.join(server);
        make_directory(&directory)?;
        self.account.give(&directory, 0o700)?;
        Ok(directory)
    }

    /// Writes a configuration file, readable by the servers' account only, since some hold the password.
    pub(crate) fn write_config(&self, name: &str, text: &str) -> Result<PathBuf> {
        let directory = self.data.join("config");
        make_directory(&directory)?;
        let path = directory.join(name);
        // A new file rather than new contents: so its owner and mode are never those of an older one.
        if let Err(fault) = fs::remove_file(&path)
            && fault.kind() != ErrorKind::NotFound
        {
            return Err(fault).with_context(|| format!("cannot replace {}", path.display()));
        }
        write_secret(&path, text)?;
        self.account.give(&path, 0o600)?;
        Ok(path)
    }

    pub(crate) fn log_path(&self, server: &str) -> PathBuf {
        self.logs.join(format!("{}-{server}.log", self.purpose.name()))
    }

    /// A new log for the server; the last one is kept beside it.
    pub(crate) fn new_log(&self, server: &str) -> Result<fs::File> {
        let path = self.log_path(server);
        let _ = fs::rename(&path, path.with_extension("log.previous")); // There is none on the first start.
        fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails with what to do when the disk is nearly full.
    pub(crate) fn check_free_space(&self) -> Result<()> {
        let space = rustix::fs::statvfs(&self.data).context("cannot ask for the free disk space")?;
        let free = space.f_bavail * space.f_frsize;
        if free < NEEDED_BYTES {
            bail!(
                "only {} MB are free where the data goes ({}), {} MB are needed: free some, or set BACKSTOCK_HOME to a \
                 directory on a larger disk",
                free >> 20,
                self.data.display(),
                NEEDED_BYTES >> 20
            );
        }
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        // Root's umask may have taken the bits that the servers' account needs to walk through.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755))?,
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => {}
        Err(fault) if fault.kind() == ErrorKind::NotFound => {
            make_directory(
                path.parent()
                    .with_context(|| format!("{} has no parent", path.display()))?,
            )?;
            return make_directory(path);
        }
        Err(fault) => {
            return Err(fault).with_context(|| {
                format!(
                    "cannot make {}: remove what another user left there, or set BACKSTOCK_HOME to a directory of yours",
                    path.display()
                )
            });
        }
    }
    Ok(())
}

/// A directory in a place where others can write: it must be ours, else someone laid it there for us.
fn make_foreign_directory(path: &Path) -> Result<()> {
    make_directory(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir()
        || metadata.uid() != rustix::process::geteuid().as_raw()
        || metadata.mode() & 0o022 != 0
    {
        bail!(
            "{} belongs to someone else: remove it, or set BACKSTOCK_HOME to another directory",
            path.display()
        );
    }
    Ok(())
}

/// The password of all three servers: made on the first start, for nobody else to read.
fn password(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(password) if !password.is_empty() => Ok(password),
        Err(fault) if fault.kind() == ErrorKind::PermissionDenied => bail!(
            "{} belongs to another user: run `make clean` as that user, or set BACKSTOCK_HOME to a directory of yours",
            path.display()
        ),
        _ => {
            // Two first starts at once: each writes a whole file, and the first link to the name wins.
            let draft = path.with_extension(std::process::id().to_string());
            write_secret(&draft, &random_password()?)?;
            let linked = fs::hard_link(&draft, path);
            fs::remove_file(&draft).context("cannot remove the draft of the password")?;
            match linked {
                Err(fault) if fault.kind() != ErrorKind::AlreadyExists => {
                    Err(fault).context("cannot write the password")
                }
                _ => fs::read_to_string(path).context("cannot read the password"),
            }
        }
    }
}

fn random_password() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
