//! The operating system's account that the servers run as.
//!
//! An ordinary user runs them as himself. Root must not: Postgres refuses it, and the others have no need of it.
//! So root hands them to the owner of the data, which on a first start is the account `postgres`, else `nobody`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Whom the servers run as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account {
    /// The user who starts them.
    Own,
    /// Another one, because root starts them.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for servers whose data is, or will be, in `data`.
    pub(crate) fn for_data(data: &Path) -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            return Ok(Account::Other {
                uid: metadata.uid(),
                gid: metadata.gid(),
            });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let find = |name: &str| users.lines().find_map(|line| parse_user(line, name));
        find("postgres").or_else(|| find("nobody")).context(
            "root cannot run Postgres, and there is no account `postgres` or `nobody`: run this as an ordinary user",
        )
    }

    /// Makes the command run as this account.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Account::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives the path to this account, readable by nobody else.
    pub(crate) fn give(self, path: &Path, mode: u32) -> Result<()> {
        let given = fs::set_permissions(path, fs::Permissions::from_mode(mode)).and_then(|()| match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        });
        given.with_context(|| format!("cannot set owner and mode of {}", path.display()))
    }

    /// Whether this account can walk into the directory. Tried rather than computed, which is right with access
    /// control lists, too.
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

fn parse_user(line: &str, name: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other { uid, gid })
}
