// SPDX-License-Identifier: GPL-2.0-only
/* The tracepoints of trace.h, how Rust calls them, and the multicast group. */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "shim.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

atomic_t nlcall_watched;

/* A first probe was hung onto a tracepoint; and the last one was taken away. */
int nlcall_watch(void)
{
	atomic_inc(&nlcall_watched);
	return 0;
}

void nlcall_unwatch(void)
{
	atomic_dec(&nlcall_watched);
}

void nlcall_trace_submit(u64 session, u32 pid, u64 user_data, u32 nr, u32 flags, const u64 *args)
{
	trace_nlcall_submit_req(session, pid, user_data, nr, flags, args);
}

void nlcall_trace_complete(u64 session, u64 user_data, u32 nr, s64 ret, u32 outcome, u64 ns)
{
	trace_nlcall_complete(session, user_data, nr, ret, outcome, ns);
}

void nlcall_trace_failed(u64 session, u32 pid, u32 command, int err, const char *text, u32 len)
{
	trace_nlcall_req_failed(session, pid, command, err, text, len);
}

/*
 * Netlink keeps @sk, with its file, in the group while it asks. What it asked of
 * who joined is a capability in @sk's own network namespace.
 */
static int nlcall_may_not_hear(struct sock *sk, struct sk_buff *skb, void *listeners)
{
	struct file *file = sk->sk_socket ? sk->sk_socket->file : NULL;

	if (!net_eq(sock_net(sk), &init_net) || !file ||
	    !file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN))
		return 1;
	++*(unsigned int *)listeners;
	return 0;
}

unsigned int nlcall_broadcast(struct sk_buff *skb, u32 group)
{
	unsigned int listeners = 0;

	NETLINK_CB(skb).dst_group = group;
	netlink_broadcast_filtered(init_net.genl_sock, skb, 0, group, GFP_ATOMIC,
				   nlcall_may_not_hear, &listeners);
	return listeners;
}
