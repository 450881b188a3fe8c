//! Drops the privileges of root once they are no longer needed: ports are bound, the journal is open.

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{fstat, lstat};
use nix::unistd::{
    Gid, Group, Uid, User, fchown, initgroups, setgid, setgroups, setresgid, setresuid, setuid,
};

use crate::journal::target::JournalSink;
use crate::server::ServeError;

/// A user and a group of this machine.
#[derive(Debug)]
pub(super) struct Identity {
    /// As given, for messages.
    text: String,
    /// `None` if the user has a number only.
    name: Option<CString>,
    user: Uid,
    group: Gid,
}

impl Identity {
    /// Looks up `USER[:GROUP]`, names or numbers.
    ///
    /// # Errors
    /// One of them does not exist, or this process may not become that user.
    pub(super) fn parse(text: &str) -> Result<Self, ServeError> {
        let failed = |why: &str| ServeError::Start(format!("--user {text}: {why}"));
        let (user_text, group_text) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let number = user_text.parse().ok().map(Uid::from_raw);
        let known = match number {
            Some(user) => User::from_uid(user),
            None => User::from_name(user_text),
        };
        let known = known.map_err(|error| failed(error.desc()))?;
        let user = known.as_ref().map(|user| user.uid).or(number).ok_or_else(|| failed("no such user"))?;
        let group = match group_text {
            Some(text) => {
                group(text).map_err(|error| failed(error.desc()))?.ok_or_else(|| failed("no such group"))?
            }
            None => known
                .as_ref()
                .map(|user| user.gid)
                .ok_or_else(|| failed("the user has no entry: give USER:GROUP"))?,
        };
        if user.is_root() || group.as_raw() == 0 {
            return Err(failed("root keeps all privileges"));
        }
        if !Uid::effective().is_root() {
            return Err(failed("only root can change the user"));
        }
        let name = known.and_then(|user| CString::new(user.name).ok());
        Ok(Self { text: text.into(), name, user, group })
    }

    /// Gives the new file at `path`, opened as `journal`, to this user, who must be able to open it again.
    ///
    /// # Errors
    /// The file system cannot change its owner; or the path has become a link meanwhile: the user may write to the
    /// directory, and must not be given a file elsewhere.
    pub(super) fn own(&self, path: &Path, journal: &JournalSink) -> Result<(), ServeError> {
        let failed =
            |why: &str| ServeError::Start(format!("{}: cannot change its owner: {why}", path.display()));
        let opened = fstat(journal).map_err(|error| failed(error.desc()))?;
        let named = lstat(path).map_err(|error| failed(error.desc()))?;
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino) || opened.st_nlink != 1 {
            return Err(failed("it was replaced by a link"));
        }
        fchown(journal, Some(self.user), Some(self.group)).map_err(|error| failed(error.desc()))
    }

    /// Becomes this user, for good. No thread may run yet.
    ///
    /// # Errors
    /// The kernel refuses, or the privileges could be regained.
    pub(super) fn assume(&self) -> Result<(), ServeError> {
        let failed = |why: &str| ServeError::Start(format!("--user {}: {why}", self.text));
        self.change().map_err(|error| failed(error.desc()))?;
        let root_again = setuid(Uid::from_raw(0)).is_ok() || setgid(Gid::from_raw(0)).is_ok();
        if root_again {
            return Err(failed("the privileges of root can be regained"));
        }
        log::info!("user: {} (uid {}, gid {})", self.text, self.user, self.group);
        Ok(())
    }

    /// Groups first: only root can change them.
    fn change(&self) -> Result<(), Errno> {
        match &self.name {
            Some(name) => initgroups(name, self.group)?,
            None => setgroups(&[self.group])?,
        }
        setresgid(self.group, self.group, self.group)?;
        setresuid(self.user, self.user, self.user)
    }
}

fn group(text: &str) -> Result<Option<Gid>, Errno> {
    match text.parse() {
        Ok(number) => Ok(Some(Gid::from_raw(number))),
        Err(_) => Ok(Group::from_name(text)?.map(|group| group.gid)),
    }
}
