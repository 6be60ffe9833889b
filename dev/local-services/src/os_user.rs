//! The operating-system user that the servers run as.
//!
//! For an ordinary user it is that user. Root must drop its privileges, because Postgres refuses to run as root: the
//! servers then run as the owner of the data, which on the first start is `postgres`, or else `nobody`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The user that the servers run as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OsUser {
    /// The user that starts them.
    Current,
    /// Another user, because root starts them.
    Other { uid: u32, gid: u32 },
}

impl OsUser {
    /// The user for servers whose data is, or will be, in `data`.
    pub(crate) fn for_data(data: &Path) -> Result<OsUser> {
        if !rustix::process::geteuid().is_root() {
            return Ok(OsUser::Current);
        }
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            return Ok(OsUser::Other {
                uid: metadata.uid(),
                gid: metadata.gid(),
            });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let find = |name: &str| users.lines().find_map(|line| parse_user(line, name));
        find("postgres").or_else(|| find("nobody")).context(
            "Postgres can't run as root, and there is no user `postgres` or `nobody`: run this as an ordinary user",
        )
    }

    /// Makes the command run as this user.
    pub(crate) fn apply(self, command: &mut Command) {
        if let OsUser::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Sets the mode of the path and makes this user its owner.
    pub(crate) fn chown(self, path: &Path, mode: u32) -> Result<()> {
        let changed = fs::set_permissions(path, fs::Permissions::from_mode(mode)).and_then(|()| match self {
            OsUser::Current => Ok(()),
            OsUser::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        });
        changed.with_context(|| format!("cannot set owner and mode of {}", path.display()))
    }

    /// Whether this user can enter the directory. It is tried rather than computed, to respect access control lists.
    pub(crate) fn can_enter(self, directory: &Path) -> bool {
        let mut command = Command::new("test");
        command
            .arg("-x")
            .arg(directory.join("."))
            .current_dir("/")
            .stdin(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

fn parse_user(line: &str, name: &str) -> Option<OsUser> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(OsUser::Other { uid, gid })
}
