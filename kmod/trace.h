/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: below events/nlcall in tracefs, and for perf and bpftrace. While
 * one of them is on, calls are executed one by one: see trace.rs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nlcall

#if !defined(NLCALL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define NLCALL_TRACE_H

#include <linux/tracepoint.h>

int nlcall_watch(void);
void nlcall_unwatch(void);

/* A call was accepted, from the thread that submits it. @pid is its process. */
TRACE_EVENT_FN(nlcall_submit_req,

	TP_PROTO(u64 session, u32 pid, u64 user_data, u32 nr, u32 flags, const u64 *args),

	TP_ARGS(session, pid, user_data, nr, flags, args),

	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, user_data)
		__field(u32, pid)
		__field(u32, nr)
		__field(u32, flags)
		__array(u64, args, 6)
	),

	TP_fast_assign(
		__entry->session = session;
		__entry->user_data = user_data;
		__entry->pid = pid;
		__entry->nr = nr;
		__entry->flags = flags;
		memcpy(__entry->args, args, sizeof(__entry->args));
	),

	TP_printk("session=%llu pid=%u user_data=%#llx nr=%u flags=%s args=%#llx,%#llx,%#llx,%#llx,%#llx,%#llx",
		  __entry->session, __entry->pid, __entry->user_data, __entry->nr,
		  __print_flags(__entry->flags, "|",
				{ 1, "LINK" }, { 2, "HARDLINK" }, { 4, "DRAIN" },
				{ 8, "INLINE" }, { 16, "SKIP_SUCCESS" }),
		  __entry->args[0], __entry->args[1], __entry->args[2],
		  __entry->args[3], __entry->args[4], __entry->args[5]),

	nlcall_watch, nlcall_unwatch
);

/*
 * A call ended: from the thread that executed it, or where its completion is
 * delivered if none did; then @ns is 0. Otherwise it is how long it took.
 */
TRACE_EVENT_FN(nlcall_complete,

	TP_PROTO(u64 session, u64 user_data, u32 nr, s64 ret, u32 outcome, u64 ns),

	TP_ARGS(session, user_data, nr, ret, outcome, ns),

	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, user_data)
		__field(s64, ret)
		__field(u64, ns)
		__field(u32, nr)
		__field(u32, outcome)
	),

	TP_fast_assign(
		__entry->session = session;
		__entry->user_data = user_data;
		__entry->ret = ret;
		__entry->ns = ns;
		__entry->nr = nr;
		__entry->outcome = outcome;
	),

	TP_printk("session=%llu user_data=%#llx nr=%u ret=%lld outcome=%s ns=%llu",
		  __entry->session, __entry->user_data, __entry->nr, __entry->ret,
		  __print_symbolic(__entry->outcome,
				   { 0, "RAN" }, { 1, "NOT_STARTED" }, { 2, "CANCELED" },
				   { 3, "TIMED_OUT" }, { 4, "REFUSED" }, { 5, "INTERRUPTED" }),
		  __entry->ns),

	nlcall_watch, nlcall_unwatch
);

/* A message was rejected. @session is 0 where it had none yet; @err is positive. */
TRACE_EVENT_FN(nlcall_req_failed,

	TP_PROTO(u64 session, u32 pid, u32 command, int err, const char *text, u32 len),

	TP_ARGS(session, pid, command, err, text, len),

	TP_STRUCT__entry(
		__field(u64, session)
		__field(u32, pid)
		__field(u32, command)
		__field(int, err)
		__string_len(text, text, len)
	),

	TP_fast_assign(
		__entry->session = session;
		__entry->pid = pid;
		__entry->command = command;
		__entry->err = err;
		__assign_str(text);
	),

	TP_printk("session=%llu pid=%u command=%u err=%d text=\"%s\"",
		  __entry->session, __entry->pid, __entry->command, __entry->err,
		  __get_str(text)),

	nlcall_watch, nlcall_unwatch
);

#endif /* NLCALL_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
