//! The file of a Unix socket. In: a path. Out: a socket that listens there, and a file that goes with it.
//!
//! Never: takes the place of a socket that somebody answers on, or of a file that is no socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A socket's file: removed when dropped, if it is the same one still. It has to go before its socket is closed:
/// after that another file may get its inode.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A socket that listens at `path`; whoever `mode` lets write there may connect.
pub(super) fn listen(
    path: &Path,
    mode: u32,
    backlog: i32,
) -> io::Result<(StdUnixListener, SocketFile)> {
    let addr = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.bind(&addr) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path, &addr)?;
        socket.bind(&addr)?;
    }
    let file = SocketFile::of(path)?;
    // Nobody gets in before it listens, whatever the umask was.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

/// Removes what a daemon has left that did not end well.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let why = "there is a file that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // its backlog may be full
    match probe.connect(addr) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "somebody answers there",
        )),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "somebody listens there",
        )),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_file_has_its_mode_and_goes_with_its_socket() {
        let folder = Folder::new();
        let path = folder.path().join("s");
        let (socket, file) = listen(&path, 0o640, 16).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        drop((socket, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_nobody_answers_on_is_replaced_and_no_other() {
        let folder = Folder::new();
        let path = folder.path().join("s");
        let (socket, file) = listen(&path, 0o600, 16).unwrap();
        let busy = listen(&path, 0o600, 16).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        std::mem::forget(file); // as if it had been killed
        let (_second, file) = listen(&path, 0o600, 16).unwrap();
        fs::remove_file(&path).unwrap();
        let _others = StdUnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "the path is another's by now");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let other = listen(&path, 0o600, 16).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
