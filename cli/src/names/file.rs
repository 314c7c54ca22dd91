// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names that calls on files take.

use linux_raw_sys::general::fsconfig_command::*;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::*;

use super::sets;

sets! {
    /// `open(2)` and its relatives.
    flags OPEN("O_", 32) where O_ACCMODE { O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE } {
        O_SYNC, O_TMPFILE, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK, O_DSYNC,
        O_DIRECT, O_LARGEFILE, O_DIRECTORY, O_NOFOLLOW, O_NOATIME, O_CLOEXEC, O_PATH, O_NDELAY,
    }

    /// Descriptor flags on their own: `dup3(2)`, `pipe2(2)`.
    flags DESCRIPTOR("O_", 32) { O_CLOEXEC, O_NONBLOCK, O_DIRECT }

    /// `struct open_how`, resolve.
    flags RESOLVE("RESOLVE_", 64) {
        RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH,
        RESOLVE_IN_ROOT, RESOLVE_CACHED,
    }

    /// Permission bits by name, for `chmod(2)` and its relatives; they are shown in octal.
    flags PERMISSION("S_", 32) {
        S_IRWXU, S_IRWXG, S_IRWXO, S_IRUSR, S_IWUSR, S_IXUSR, S_IRGRP, S_IWGRP, S_IXGRP, S_IROTH,
        S_IWOTH, S_IXOTH, S_ISUID, S_ISGID, S_ISVTX,
    }

    /// Types of files.
    choice FILE_TYPE("S_IF", 32) {
        S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO,
    }

    /// `access(2)`.
    flags ACCESS("?_OK", 32) { R_OK, W_OK, X_OK, F_OK }

    /// `newfstatat(2)`, `utimensat(2)`, `fchownat(2)` and their relatives.
    flags AT("AT_", 32) { AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH }

    /// `statx(2)`, flags.
    flags STATX_AT("AT_", 32)
        where AT_STATX_SYNC_TYPE {
            AT_STATX_SYNC_AS_STAT, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC,
        }
        { AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH }

    /// `unlinkat(2)`.
    flags UNLINK_AT("AT_", 32) { AT_REMOVEDIR }

    /// `linkat(2)`.
    flags LINK_AT("AT_", 32) { AT_SYMLINK_FOLLOW, AT_EMPTY_PATH }

    /// `faccessat2(2)`.
    flags ACCESS_AT("AT_", 32) { AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH }

    /// `name_to_handle_at(2)`.
    flags HANDLE_AT("AT_", 32) {
        AT_HANDLE_FID, AT_HANDLE_MNT_ID_UNIQUE, AT_HANDLE_CONNECTABLE, AT_SYMLINK_FOLLOW,
        AT_EMPTY_PATH,
    }

    /// `statx(2)`, mask.
    flags STATX("STATX_", 32) {
        STATX_ALL, STATX_BASIC_STATS, STATX_TYPE, STATX_MODE, STATX_NLINK, STATX_UID, STATX_GID,
        STATX_ATIME, STATX_MTIME, STATX_CTIME, STATX_INO, STATX_SIZE, STATX_BLOCKS, STATX_BTIME,
        STATX_MNT_ID, STATX_DIOALIGN, STATX_MNT_ID_UNIQUE, STATX_SUBVOL, STATX_WRITE_ATOMIC,
        STATX_DIO_READ_ALIGN,
    }

    /// `struct statx`, attributes.
    flags STATX_ATTRIBUTE("STATX_ATTR_", 64) {
        STATX_ATTR_COMPRESSED, STATX_ATTR_IMMUTABLE, STATX_ATTR_APPEND, STATX_ATTR_NODUMP,
        STATX_ATTR_ENCRYPTED, STATX_ATTR_AUTOMOUNT, STATX_ATTR_MOUNT_ROOT, STATX_ATTR_VERITY,
        STATX_ATTR_DAX, STATX_ATTR_WRITE_ATOMIC,
    }

    /// `lseek(2)`.
    choice WHENCE("SEEK_", 32) { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE }

    /// `fcntl(2)`, command.
    choice FCNTL("F_", 32) {
        F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN,
        F_SETSIG, F_GETSIG, F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS, F_OFD_GETLK, F_OFD_SETLK,
        F_OFD_SETLKW, F_SETLEASE, F_GETLEASE, F_NOTIFY, F_DUPFD_QUERY, F_CREATED_QUERY, F_CANCELLK,
        F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_GET_RW_HINT,
        F_SET_RW_HINT, F_GET_FILE_RW_HINT, F_SET_FILE_RW_HINT,
    }

    /// `fcntl(2)`, F_SETFD.
    flags DESCRIPTOR_FLAG("FD_", 32) { FD_CLOEXEC }

    /// `fcntl(2)`, type of a lock.
    choice RECORD_LOCK("F_", 16) { F_RDLCK, F_WRLCK, F_UNLCK }

    /// `fcntl(2)`, F_ADD_SEALS.
    flags SEAL("F_SEAL_", 32) {
        F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_EXEC,
    }

    /// `flock(2)`.
    flags FLOCK("LOCK_", 32) { LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN }

    /// `fallocate(2)`.
    flags FALLOCATE("FALLOC_FL_", 32) {
        FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_NO_HIDE_STALE,
        FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE,
        FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_WRITE_ZEROES,
    }

    /// `posix_fadvise(2)`.
    choice FADVISE("POSIX_FADV_", 32) {
        POSIX_FADV_NORMAL, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL, POSIX_FADV_WILLNEED,
        POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE,
    }

    /// `sync_file_range(2)`.
    flags SYNC_RANGE("SYNC_FILE_RANGE_", 32) {
        SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER,
    }

    /// `renameat2(2)`.
    flags RENAME("RENAME_", 32) { RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT }

    /// `splice(2)`, `tee(2)`, `vmsplice(2)`.
    flags SPLICE("SPLICE_F_", 32) {
        SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT,
    }

    /// `preadv2(2)`, `pwritev2(2)`.
    flags READ_WRITE("RWF_", 32) { RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND }

    /// `setxattr(2)`.
    flags XATTR("XATTR_", 32) { XATTR_CREATE, XATTR_REPLACE }

    /// `mount(2)`.
    flags MOUNT("MS_", 64) {
        MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT, MS_MANDLOCK,
        MS_DIRSYNC, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC, MS_SILENT,
        MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME, MS_STRICTATIME, MS_LAZYTIME,
    }

    /// `umount2(2)`.
    flags UNMOUNT("MNT_", 32) { MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW }

    /// `fsmount(2)` and `struct mount_attr`, attributes.
    flags MOUNT_ATTRIBUTE("MOUNT_ATTR_", 64) {
        MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC,
        MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_IDMAP,
        MOUNT_ATTR_NOSYMFOLLOW,
    }

    /// `fsopen(2)`.
    flags FSOPEN("FSOPEN_", 32) { FSOPEN_CLOEXEC }

    /// `fsmount(2)`, flags.
    flags FSMOUNT("FSMOUNT_", 32) { FSMOUNT_CLOEXEC }

    /// `fsconfig(2)`, command.
    choice FSCONFIG("FSCONFIG_", 32) {
        FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_SET_BINARY, FSCONFIG_SET_PATH,
        FSCONFIG_SET_PATH_EMPTY, FSCONFIG_SET_FD, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE,
        FSCONFIG_CMD_CREATE_EXCL,
    }

    /// `open_tree(2)`.
    flags OPEN_TREE("OPEN_TREE_", 32) {
        OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT,
        AT_EMPTY_PATH,
    }

    /// `move_mount(2)`.
    flags MOVE_MOUNT("MOVE_MOUNT_", 32) {
        MOVE_MOUNT_F_SYMLINKS, MOVE_MOUNT_F_AUTOMOUNTS, MOVE_MOUNT_F_EMPTY_PATH,
        MOVE_MOUNT_T_SYMLINKS, MOVE_MOUNT_T_AUTOMOUNTS, MOVE_MOUNT_T_EMPTY_PATH,
        MOVE_MOUNT_SET_GROUP, MOVE_MOUNT_BENEATH,
    }

    /// `memfd_create(2)`.
    flags MEMFD("MFD_", 32) {
        MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB, MFD_NOEXEC_SEAL, MFD_EXEC,
    }

    /// `inotify_init1(2)`.
    flags INOTIFY("IN_", 32) { IN_NONBLOCK, IN_CLOEXEC }

    /// `inotify_add_watch(2)`.
    flags WATCH("IN_", 32) {
        IN_ALL_EVENTS, IN_CLOSE, IN_MOVE, IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE,
        IN_CLOSE_NOWRITE, IN_OPEN, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE,
        IN_DELETE_SELF, IN_MOVE_SELF, IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED, IN_ONLYDIR,
        IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_CREATE, IN_MASK_ADD, IN_ISDIR, IN_ONESHOT,
    }

    /// `eventfd2(2)`.
    flags EVENTFD("EFD_", 32) { EFD_SEMAPHORE, EFD_CLOEXEC, EFD_NONBLOCK }

    /// `epoll_create1(2)`.
    flags EPOLL_CREATE("EPOLL_", 32) { EPOLL_CLOEXEC }

    /// `epoll_ctl(2)`, operation.
    choice EPOLL_CTL("EPOLL_CTL_", 32) { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD }

    /// `struct epoll_event`, events.
    flags EPOLL_EVENT("EPOLL", 32) {
        EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDNORM, EPOLLRDBAND, EPOLLWRNORM,
        EPOLLWRBAND, EPOLLMSG, EPOLLRDHUP, EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET,
    }

    /// `struct pollfd`, events.
    flags POLL_EVENT("POLL", 16) {
        POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDNORM, POLLRDBAND, POLLWRNORM,
        POLLWRBAND, POLLMSG, POLLREMOVE, POLLRDHUP,
    }

    /// `ioctl(2)`, the requests that terminals and descriptors of every kind understand.
    choice IOCTL("_IOC_", 32) {
        TCGETS, TIOCGPGRP, TIOCSPGRP, TIOCGWINSZ, TIOCSWINSZ, TIOCSCTTY, TIOCNOTTY, TIOCGSID,
        TIOCOUTQ, TIOCGPTN, TIOCSTI, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, FIOQSIZE,
    }
}
