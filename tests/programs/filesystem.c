/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What POSIX says of files, call by call: the result of each, in the manner
 * of pjdfstest. Prints the same however its calls are made.
 *
 *	filesystem
 *
 * works in the current folder, as root, and leaves it empty.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define CHECK(call) do {					\
	long ret_ = (errno = 0, (long)(call));			\
	printf("%s = %ld %s\n", #call, ret_,			\
	       ret_ < 0 ? strerrorname_np(errno) : "");		\
} while (0)

static char too_long[NAME_MAX + 2], buffer[64];
/* What the compiler would warn of if it knew. */
static char *volatile null, *volatile nowhere = (char *)8;
static volatile int minus_one = -1;

static void look(const char *name)
{
	struct stat st;

	if (lstat(name, &st))
		printf("%s: %s\n", name, strerrorname_np(errno));
	else
		printf("%s: mode %o, links %lu, owner %u:%u, size %ld\n", name, st.st_mode,
		       S_ISDIR(st.st_mode) ? 0 : st.st_nlink, st.st_uid, st.st_gid,
		       S_ISDIR(st.st_mode) ? 0 : st.st_size);
}

static void names(void)
{
	int fd;

	CHECK(mkdir("d", 0755));
	CHECK(mkdir("d", 0755));
	CHECK(mkdir("none/d", 0755));
	CHECK(mkdir(too_long, 0755));
	CHECK(open("f", O_CREAT | O_EXCL | O_WRONLY, 0640) < 0);
	CHECK(open("f", O_CREAT | O_EXCL | O_WRONLY, 0640));
	CHECK(open("f/x", O_RDONLY));
	CHECK(open("d", O_WRONLY));
	CHECK(open("none", O_RDONLY));
	CHECK(open("", O_RDONLY));
	CHECK(open("f", O_RDONLY | O_DIRECTORY));
	CHECK(open(null, O_RDONLY));
	CHECK(open(nowhere, O_RDONLY));
	CHECK(symlink("f", "s"));
	CHECK(symlink("loop", "loop"));
	CHECK(open("loop", O_RDONLY));
	CHECK(open("s", O_RDONLY | O_NOFOLLOW));
	CHECK(readlink("s", buffer, sizeof(buffer)));
	CHECK(readlink("f", buffer, sizeof(buffer)));
	CHECK(link("f", "l"));
	CHECK(link("f", "l"));
	CHECK(link("d", "l2"));
	CHECK(link("none", "l2"));
	look("f");
	look("s");
	look("d");
	CHECK(rename("l", "m"));
	CHECK(rename("d", "f"));
	CHECK(rename("f", "d"));
	CHECK(rename("d", "d/e"));
	CHECK(renameat2(AT_FDCWD, "f", AT_FDCWD, "m", RENAME_NOREPLACE));
	CHECK(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
	CHECK(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
	CHECK(mknod("p", S_IFIFO | 0600, 0));
	CHECK(open("p", O_WRONLY | O_NONBLOCK));
	look("p");
	CHECK(unlink("d"));
	CHECK(rmdir("f"));
	CHECK(rmdir("."));
	CHECK(mkdir("d/e", 0700));
	CHECK(rmdir("d"));
	CHECK(unlink("none"));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	CHECK(unlinkat(fd, "e", 0));
	CHECK(unlinkat(fd, "e", AT_REMOVEDIR));
	CHECK(faccessat(fd, "../f", R_OK, 0));
	CHECK(fchdir(fd));
	CHECK(access("../f", F_OK));
	CHECK(chdir(".."));
	close(fd);
}

static void attributes(void)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	struct timespec bad[2] = { { .tv_nsec = -5 }, { .tv_nsec = 0 } };
	struct stat st;

	CHECK(chmod("f", 04755));
	look("f");
	CHECK(chown("f", 1000, 1000));
	look("f");
	CHECK(chown("f", -1, 7));
	look("f");
	CHECK(lchown("s", 5, 6));
	look("s");
	CHECK(chmod("none", 0600));
	CHECK(umask(077));
	CHECK(mkdir("u", 0777));
	look("u");
	CHECK(umask(022));
	CHECK(utimensat(AT_FDCWD, "f", times, 0));
	CHECK(utimensat(AT_FDCWD, "f", bad, 0));
	stat("f", &st);
	printf("times: %ld %ld\n", st.st_atime, st.st_mtime);
	CHECK(truncate("f", 100));
	CHECK(truncate("f", -1));
	CHECK(truncate("d", 0));
	look("f");
	CHECK(setxattr("f", "user.a", "b", 1, XATTR_CREATE));
	CHECK(setxattr("f", "bad", "b", 1, 0));
	CHECK(pathconf(".", _PC_NAME_MAX));
	CHECK(rmdir("u"));
}

static void contents(void)
{
	struct iovec parts[] = { { "one", 3 }, { "two", 3 }, { (void *)8, 3 } };
	int fd = open("c", O_CREAT | O_RDWR | O_TRUNC, 0600), copy;
	char *map;

	CHECK(writev(fd, parts, 2));
	CHECK(writev(fd, parts, 3));
	CHECK(writev(fd, parts, minus_one));
	CHECK(lseek(fd, 0, SEEK_CUR));
	CHECK(lseek(fd, -1, SEEK_SET));
	CHECK(pread(fd, buffer, sizeof(buffer), 1));
	CHECK(pread(fd, buffer, 1, -1));
	CHECK(read(fd, nowhere, 1));
	CHECK(lseek(fd, 1000, SEEK_END));
	CHECK(write(fd, "x", 1));
	CHECK(lseek(fd, 0, SEEK_HOLE));
	CHECK(fallocate(fd, 0, 0, 0));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3));
	CHECK(ftruncate(fd, 5));
	CHECK(pread(fd, buffer, sizeof(buffer), 0));
	printf("%d%d%d%c%c\n", buffer[0], buffer[1], buffer[2], buffer[3], buffer[4]);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[0] = 'm';
	CHECK(msync(map, 4096, MS_SYNC));
	CHECK(pread(fd, buffer, 1, 0));
	CHECK(munmap(map, 4096));
	CHECK(munmap((void *)1, 4096));
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	CHECK(fcntl(fd, F_GETFL) & O_ACCMODE);
	CHECK(fcntl(fd, F_SETFL, O_APPEND));
	CHECK(fcntl(fd, 12345));
	copy = dup(fd);
	CHECK(lseek(copy, 2, SEEK_SET));
	CHECK(lseek(fd, 0, SEEK_CUR));
	CHECK(dup2(fd, copy) == copy);
	CHECK(dup2(fd, -1));
	CHECK(dup3(fd, fd, 0));
	CHECK(fsync(fd));
	CHECK(flock(fd, 100));
	CHECK(close(copy));
	CHECK(close(copy));
	CHECK(read(copy, buffer, 1));
	close(fd);
}

/* Root asks as somebody else. */
static void permissions(void)
{
	CHECK(chmod(".", 0755));
	CHECK(chmod("d", 0700));
	CHECK(setfsuid(1000));
	CHECK(open("d/x", O_CREAT | O_WRONLY, 0600));
	CHECK(open("c", O_RDONLY));
	CHECK(unlink("c"));
	CHECK(setfsuid(0));
	if (!fork()) {
		CHECK(setresuid(1000, 1000, 1000));
		CHECK(chmod("c", 0777));
		CHECK(chown("c", 1000, 1000));
		CHECK(kill(1, 0));
		CHECK(setuid(0));
		CHECK(mkdir("mine", 0700));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void folders(void)
{
	DIR *folder;
	int entries = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(buffer, sizeof(buffer), "d/%d", i);
		close(open(buffer, O_CREAT | O_WRONLY, 0600));
	}
	folder = opendir("d");
	while (readdir(folder))
		entries++;
	printf("entries: %d\n", entries);
	closedir(folder);
	for (int i = 0; i < 300; i++) {
		snprintf(buffer, sizeof(buffer), "d/%d", i);
		unlink(buffer);
	}
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	memset(too_long, 'x', NAME_MAX + 1);
	names();
	attributes();
	contents();
	permissions();
	folders();
	CHECK(unlink("f") | unlink("s") | unlink("m") | unlink("p") | unlink("c") | unlink("loop"));
	CHECK(rmdir("d"));
	return 0;
}
