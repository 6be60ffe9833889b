//! The directories of one [`Purpose`], here the shop:
//!
//! `.backstock/shop/` holds locks, process records and the password; `.backstock/shop/data/` configuration and data;
//! `.backstock/logs/` the servers' logs. When root starts the servers and their user can't enter the clone's directory
//! (for example under `/root`), `data` is a link to a directory under `/var/tmp`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::Purpose;
use crate::os_user::OsUser;
use crate::paths::home_dir;

/// Required free disk space: data of scale `s` with its template and clones, and 1 GB of write-ahead log.
const NEEDED_BYTES: u64 = 2 << 30;

/// The directories, user and password of one purpose's servers.
#[derive(Debug)]
pub(crate) struct DataDirs {
    pub(crate) purpose: Purpose,
    /// Locks, process records, the password.
    pub(crate) state: PathBuf,
    /// Configuration and the servers' own directories.
    pub(crate) data: PathBuf,
    logs: PathBuf,
    pub(crate) os_user: OsUser,
    pub(crate) password: String,
}

impl DataDirs {
    /// Creates the missing directories and the password.
    pub(crate) fn prepare(purpose: Purpose) -> Result<DataDirs> {
        let home = home_dir()?;
        let state = home.join(purpose.name());
        let logs = home.join("logs");
        for directory in [&home, &state, &logs] {
            create_directory(directory)?;
        }
        let password = load_or_create_password(&state.join("password"))?;
        let data = state.join("data");
        let os_user = OsUser::for_data(&data.join("postgres"))?;
        let mut dirs = DataDirs {
            purpose,
            state,
            data,
            logs,
            os_user,
            password,
        };
        dirs.prepare_data()?;
        // Resolved, because the servers' user can't enter the directory that contains the link.
        dirs.data = fs::canonicalize(&dirs.data).context("cannot resolve the data directory")?;
        Ok(dirs)
    }

    fn prepare_data(&self) -> Result<()> {
        if self.data.is_symlink() {
            let target = fs::read_link(&self.data).context("cannot read the link to the data")?;
            return create_owned_directory(&target).map(|_| ());
        }
        if !self.data.exists() && !self.os_user.can_enter(&self.state) {
            let mut hasher = DefaultHasher::new();
            self.state.hash(&mut hasher);
            let target = PathBuf::from(format!("/var/tmp/backstock-{:016x}", hasher.finish()));
            create_owned_directory(&target)?;
            symlink(&target, &self.data).context("cannot link to the data")?;
        }
        create_directory(&self.data)?;
        create_directory(&self.data.join("config"))
    }

    /// A server's own directory, readable only by the servers' user.
    pub(crate) fn server_directory(&self, server: &str) -> Result<PathBuf> {
        let directory = self.data.join(server);
        create_directory(&directory)?;
        self.os_user.chown(&directory, 0o700)?;
        Ok(directory)
    }

    /// Writes a configuration file that only the servers' user can read, because some contain the password.
    pub(crate) fn write_config(&self, name: &str, text: &str) -> Result<PathBuf> {
        let directory = self.data.join("config");
        create_directory(&directory)?;
        let path = directory.join(name);
        // A new file, so that it doesn't inherit the owner and mode of an old one.
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        write_secret(&path, text)?;
        self.os_user.chown(&path, 0o600)?;
        Ok(path)
    }

    pub(crate) fn log_path(&self, server: &str) -> PathBuf {
        self.logs.join(format!("{}-{server}.log", self.purpose.name()))
    }

    /// Creates the server's log and keeps the previous one.
    pub(crate) fn new_log(&self, server: &str) -> Result<fs::File> {
        let path = self.log_path(server);
        // Fails on the first start, when there is no log.
        let _ = fs::rename(&path, path.with_extension("log.previous"));
        fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails with a hint when the disk is nearly full.
    pub(crate) fn check_free_space(&self) -> Result<()> {
        let space = rustix::fs::statvfs(&self.data).context("cannot determine the free disk space")?;
        let free = space.f_bavail * space.f_frsize;
        if free < NEEDED_BYTES {
            bail!(
                "only {} MB are free for data ({}), {} MB are required: free disk space, or set BACKSTOCK_HOME to a \
                directory on a larger disk",
                free >> 20,
                self.data.display(),
                NEEDED_BYTES >> 20
            );
        }
        Ok(())
    }
}

fn create_directory(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        // Root's umask may have removed the bits that let the servers' user enter.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_directory(
                path.parent()
                    .with_context(|| format!("{} has no parent", path.display()))?,
            )?;
            return create_directory(path);
        }
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "cannot create {}: remove another user's files there, or set BACKSTOCK_HOME to a directory of your own",
                    path.display()
                )
            });
        }
    }
    Ok(())
}

/// Creates a directory under a world-writable one. Rejects a link, and a directory that another user owns or can write
/// to.
fn create_owned_directory(path: &Path) -> Result<()> {
    create_directory(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir()
        || metadata.uid() != rustix::process::geteuid().as_raw()
        || metadata.mode() & 0o022 != 0
    {
        bail!(
            "{} isn't a directory that only you can write to: remove it, or set BACKSTOCK_HOME to another directory",
            path.display()
        );
    }
    Ok(())
}

/// The password of Postgres, Redis and RabbitMQ, created on the first start and readable only by its owner.
fn load_or_create_password(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(password) if !password.is_empty() => Ok(password),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} belongs to another user: run `make clean` as that user, or set BACKSTOCK_HOME to a directory of your own",
            path.display()
        ),
        _ => {
            // Two concurrent first starts each write a complete file, and the first hard link wins.
            let draft = path.with_extension(std::process::id().to_string());
            write_secret(&draft, &random_password()?)?;
            let linked = fs::hard_link(&draft, path);
            fs::remove_file(&draft).context("cannot remove the draft of the password")?;
            match linked {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    Err(error).context("cannot write the password")
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
