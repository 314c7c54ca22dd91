/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two system calls in one message, and their completions.
 *
 *	cc -I abi/include first_batch.c -lmnl && ./a.out [FILE]
 *
 * Opens FILE, /etc/hostname if none is given, and asks for the process id. Prints a line for each
 * completion. Exits with 0 when both calls returned no error, with 1 when one did, with 2 when the
 * kernel could not be asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <nlcall.h>

#define BATCH 2

static const char *const names[BATCH] = { "openat", "getpid" };

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

/* A generic-netlink message in the buffer; attributes follow. */
static struct nlmsghdr *begin(void *buffer, uint16_t family, uint8_t command, uint8_t version)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	message->nlmsg_type = family;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	header->cmd = command;
	header->version = version;
	return message;
}

/* Sends a message, and gives what comes back to the function until it was acknowledged. */
static void ask(struct mnl_socket *sock, struct nlmsghdr *message, mnl_cb_t use, void *data)
{
	char buffer[NLCALL_MAX_COMPLETE_LEN];
	int more = MNL_CB_OK;

	if (mnl_socket_sendto(sock, message, message->nlmsg_len) < 0)
		fail("sending");
	while (more > MNL_CB_STOP) {
		ssize_t len = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));

		if (len < 0)
			fail("receiving");
		/* Completions have the sequence number 0. */
		more = mnl_cb_run(buffer, len, 0, mnl_socket_get_portid(sock), use, data);
	}
	if (more < 0)
		fail("the kernel refused the message");
}

static int take_family_id(const struct nlmsghdr *message, void *id)
{
	struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			*(uint16_t *)id = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

/* What came back so far. */
struct answers {
	int completions;
	int errors;
};

static int take_completions(const struct nlmsghdr *message, void *data)
{
	struct answers *answers = data;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr)) {
		const char *entry = mnl_attr_get_payload(attr);
		const char *end = entry + mnl_attr_get_payload_len(attr);
		struct nlcall_call_result result;

		if (mnl_attr_get_type(attr) != NLCALL_A_COMPLETE_RESULTS)
			continue;
		for (; entry < end; entry += sizeof(result)) {
			memcpy(&result, entry, sizeof(result));
			printf("%s: %lld, outcome %u\n", names[result.user_data],
			       (long long)result.ret, result.outcome);
			answers->completions++;
			answers->errors += result.ret < 0;
		}
	}
	return MNL_CB_OK;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/etc/hostname";
	struct nlcall_call calls[BATCH] = {
		{
			.user_data = 0,
			.nr = SYS_openat,
			.args = { (__u64)AT_FDCWD, (__u64)(uintptr_t)path, O_RDONLY },
		},
		{ .user_data = 1, .nr = SYS_getpid },
	};
	struct answers answers = { 0, 0 };
	char buffer[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *message;
	struct mnl_socket *sock;
	uint16_t family = 0;

	sock = mnl_socket_open(NETLINK_GENERIC);
	if (!sock || mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0)
		fail("a netlink socket");

	message = begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, NLCALL_FAMILY_NAME);
	ask(sock, message, take_family_id, &family);

	message = begin(buffer, family, NLCALL_CMD_SUBMIT, NLCALL_FAMILY_VERSION);
	mnl_attr_put_u32(message, NLCALL_A_SUBMIT_CALL_SIZE, sizeof(calls[0]));
	mnl_attr_put(message, NLCALL_A_SUBMIT_CALLS, sizeof(calls), calls);
	ask(sock, message, take_completions, &answers);

	/* Some may have come before the acknowledgement. */
	while (answers.completions < BATCH) {
		char more[NLCALL_MAX_COMPLETE_LEN];
		ssize_t len = mnl_socket_recvfrom(sock, more, sizeof(more));

		if (len < 0 || mnl_cb_run(more, len, 0, 0, take_completions, &answers) < 0)
			fail("receiving");
	}
	mnl_socket_close(sock);
	return answers.errors > 0;
}
