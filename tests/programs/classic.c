/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The user program of the early demonstration: a read through netlink.
 *
 * It fills in a struct readi with its pid, a descriptor, a buffer and 4, sends
 * it over protocol 28 and waits for the message to come back.
 *
 *	classic [FILE]
 *
 * prints the first four bytes of FILE, /etc/hostname if none is given. Exits
 * with 0 when four bytes were read, with 1 when the read did not bring four,
 * with 2 when the kernel could not be asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/netlink.h>

#define NETLINK_READ	28
#define MAX_PAYLOAD	1024

struct readi {
	int pid;
	int fd;
	char *ptr;
	int count;
};

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "/etc/hostname";
	struct sockaddr_nl src, dest;
	struct nlmsghdr *nlh;
	struct readi *r;
	struct iovec iov;
	struct msghdr msg;
	char buf[5] = "";
	int fd, sock;

	fd = open(name, O_RDONLY);
	if (fd < 0)
		fail(name);

	sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_READ);
	if (sock < 0)
		fail("socket: is the module loaded with classic=1?");

	memset(&src, 0, sizeof(src));
	src.nl_family = AF_NETLINK;
	src.nl_pid = getpid();
	if (bind(sock, (struct sockaddr *)&src, sizeof(src)) < 0)
		fail("bind");

	memset(&dest, 0, sizeof(dest));
	dest.nl_family = AF_NETLINK;
	dest.nl_pid = 0;		/* the kernel */
	dest.nl_groups = 0;

	nlh = calloc(1, NLMSG_SPACE(MAX_PAYLOAD));
	if (!nlh)
		fail("calloc");
	nlh->nlmsg_len = NLMSG_SPACE(MAX_PAYLOAD);
	nlh->nlmsg_pid = getpid();
	nlh->nlmsg_flags = 0;

	r = NLMSG_DATA(nlh);
	r->pid = getpid();
	r->fd = fd;
	r->ptr = buf;
	r->count = 4;

	memset(&iov, 0, sizeof(iov));
	iov.iov_base = nlh;
	iov.iov_len = nlh->nlmsg_len;
	memset(&msg, 0, sizeof(msg));
	msg.msg_name = &dest;
	msg.msg_namelen = sizeof(dest);
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (sendmsg(sock, &msg, 0) < 0)
		fail("sendmsg");

	iov.iov_len = NLMSG_SPACE(MAX_PAYLOAD);
	if (recvmsg(sock, &msg, 0) < 0)
		fail("recvmsg");

	if (nlh->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr *err = NLMSG_DATA(nlh);

		errno = -err->error;
		fail("the kernel refused the message");
	}
	if (r->count < 0) {
		fprintf(stderr, "read: %s\n", strerror(-r->count));
		return 1;
	}
	if (r->count != 4) {
		fprintf(stderr, "read: %d bytes\n", r->count);
		return 1;
	}
	printf("%s\n", buf);
	close(sock);
	close(fd);
	return 0;
}
