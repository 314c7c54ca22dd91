/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The border between the Rust module and what Rust cannot reach: macros,
 * inline functions and symbols that are not exported. shim.rs declares the
 * same functions on the other side; who owns what is said here.
 */
#ifndef NLCALL_SHIM_H
#define NLCALL_SHIM_H

#include <linux/types.h>
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/preempt.h>

struct audit_context;
struct callback_head;
struct cred;
struct genl_info;
struct netlink_ext_ack;
struct nlattr;
struct pid;
struct sk_buff;
struct sock;
struct workqueue_struct;
struct xarray;

/*
 * Parameters. In C, since the module macro of Rust does not show its
 * parameters in sysfs. They change under kernel_param_lock(), and the
 * settings are read without it: they are atomic words. settings.rs has the
 * same order.
 */
enum nlcall_setting {
	NLCALL_MAX_IN_FLIGHT,
	NLCALL_MAX_WORKERS,
	NLCALL_MAX_IN_FLIGHT_USER,
	NLCALL_MAX_WORKERS_USER,
	NLCALL_MAX_WORKERS_TOTAL,
	NLCALL_MAX_RUNNING,
	NLCALL_IDLE_MS,
	NLCALL_MAX_INLINE_BYTES,
	NLCALL_SETTINGS
};
extern unsigned int nlcall_settings[NLCALL_SETTINGS];
extern char nlcall_access[32];
extern bool nlcall_classic;

/* The address of a symbol that is not exported; an error pointer, having said so. */
void *nlcall_find(const char *name);
/* Binds a static call to it. */
#define nlcall_resolve(call, name) ({			\
	void *__addr = nlcall_find(name);		\
	if (!IS_ERR(__addr))				\
		static_call_update(call, __addr);	\
	PTR_ERR_OR_ZERO(__addr);			\
})

int nlcall_init(void);
void nlcall_exit(void);
/* Release of the running kernel. */
const char *nlcall_release(void);
unsigned int nlcall_online_cpus(void);
/*
 * The module's own queues; they live from nlcall_init() to nlcall_exit(). What is in
 * the first one never waits. What is in the second one may, for a process.
 */
struct workqueue_struct *nlcall_queue(void);
struct workqueue_struct *nlcall_patient_queue(void);

/*
 * A worker's C part. Allocated by nlcall_thread_new(), freed by
 * nlcall_thread_free(); @worker is borrowed and must live as long.
 * After nlcall_thread_start() succeeded, exactly one nlcall_thread_stop()
 * must follow, from another thread, before nlcall_thread_free().
 */
struct nlcall_thread;
struct nlcall_thread *nlcall_thread_new(void *worker, atomic_t *blocked);
int nlcall_thread_start(struct nlcall_thread *t);
void nlcall_thread_stop(struct nlcall_thread *t);
void nlcall_thread_free(struct nlcall_thread *t);
/* A worker between two calls, and one inside a call. */
void nlcall_thread_wake(struct nlcall_thread *t);
void nlcall_thread_interrupt(struct nlcall_thread *t);
/* By the worker itself, around a run of calls. */
void nlcall_thread_begin(struct nlcall_thread *t);
void nlcall_thread_end(struct nlcall_thread *t);
/* @cred is borrowed for the duration of the call. */
long nlcall_execute(u32 nr, const u64 *args, const struct cred *cred);
/* The same for @call of the worker @t, which hears of it at @deadline. */
long nlcall_execute_until(u32 nr, const u64 *args, const struct cred *cred, s64 deadline,
			  struct nlcall_thread *t, u32 call);

/*
 * The same in the submitting thread itself, on its way to user mode, with its
 * present credentials; and what is to be done before the next one.
 */
#define NLCALL_CALLED_SIGNAL	BIT(0)	/* a signal is pending */
#define NLCALL_CALLED_SECCOMP	BIT(1)	/* the thread is under seccomp */
#define NLCALL_CALLED_RESUME	BIT(2)	/* for nlcall_inline_end() */
#define NLCALL_CALLED_LATE	BIT(3)	/* the deadline passed */
#define NLCALL_CALLED_NOT	BIT(4)	/* by nlcall_run() only */
#define NLCALL_CALLED_AUDITED	BIT(5)	/* by nlcall_inline_begin(): audit wants to know */
#define NLCALL_CALLED_BLIND	BIT(6)	/* the same, and has no memory for it */
struct nlcall_called {
	long ret;
	unsigned long state;
};
struct nlcall_called nlcall_call(u32 nr, const u64 *args);
/*
 * Of a burst of a worker: @cred is in force from the first function to the last
 * one. In between, a state that is not 0 says that a signal or an interruption is
 * pending.
 */
void nlcall_burst_begin(const struct cred *cred);
struct nlcall_called nlcall_burst_call(u32 nr, const u64 *args);
/* The same where audit wants to know, which nlcall_audit_watches() says once. */
struct nlcall_called nlcall_burst_call_audited(u32 nr, const u64 *args);
bool nlcall_audit_watches(void);
void nlcall_burst_end(const struct cred *cred);
/* @deadline in ns of the monotonic clock; 0 for none. */
struct nlcall_called nlcall_call_until(u32 nr, const u64 *args, s64 deadline);
/*
 * Around all calls of a message. @mark is lent until the end, which takes the
 * states of all of them together. The first returns the state before them.
 */
struct nlcall_mark {
	struct preempt_notifier notifier;
	struct audit_context *own;	/* the thread's, where it has another meanwhile */
};
unsigned long nlcall_inline_begin(struct nlcall_mark *mark);
void nlcall_inline_end(struct nlcall_mark *mark, unsigned long state);
/* The same as nlcall_call_until() where that began with NLCALL_CALLED_AUDITED. */
struct nlcall_called nlcall_call_audited(u32 nr, const u64 *args, s64 deadline);
/* Makes a call that ends the thread, after nlcall_inline_end(). */
void nlcall_farewell(u32 nr, const u64 *args);
/*
 * The question to seccomp whether current may make a call, on its way to user
 * mode; only where it is under seccomp, and inside the last piece of task work
 * that it has. @nr and @args are those of the call, and come back as a tracer
 * left them; @ret comes back as what the call is to return where it is not to
 * be made. The question is lent until the answer. Where there is none, since a
 * filter ends the thread, the question is over, and @heir was added to the
 * thread's task work, which runs before the thread is gone.
 */
struct nlcall_question {
	struct preempt_notifier mark;
	struct callback_head *heir;
	u64 nr;
	u64 args[6];
	s64 ret;
};
#define NLCALL_ANSWER_NO	0	/* not to be made */
#define NLCALL_ANSWER_YES	1	/* to be made */
#define NLCALL_ANSWER_STOP	2	/* not to be made, nor any other: a signal is pending */
#define NLCALL_ANSWER_LATER	3	/* to be asked again, after other task work */
unsigned int nlcall_ask(struct nlcall_question *question);
/* Whether an execve may pull the signal handlers from under a get_signal(). */
bool nlcall_may_be_in_get_signal(void);

/* struct ResultsHeader of the wire format. */
struct nlcall_results {
	u32 done;
	u32 capacity;
	u64 reserved;
};
/* Writes entry @index behind @head, then its number; false where that faults. */
bool nlcall_put_result(struct nlcall_results __user *head, u32 index, u64 user_data, s64 ret,
		       u32 how);

/* struct Call of the wire format; the last field is @timeout_ns before the call is over. */
struct nlcall_entry {
	u64 user_data;
	u32 nr;
	u32 flags;
	u64 args[6];
	u32 arg_kinds;
	u32 reserved;
	s64 ret;
} __packed __aligned(4);
#define NLCALL_LINK		1u
#define NLCALL_INLINE		8u
/* Lowest bits of the kinds of arguments: 4 is LOAD, 5 is OUT_PTR. */
#define NLCALL_RESULT		3u
#define NLCALL_OUT_PTR		5u
#define NLCALL_KINDS		0x111111
/*
 * Entries of one attribute, which begins with the call @first of the message
 * at @begin. @count of them are to be executed; those before @from, in bytes,
 * are over. @plain: nothing but their numbers and arguments counts.
 */
struct nlcall_row {
	void *begin;
	u64 first;
	u64 from;
	u32 count;
	bool plain;
};
/*
 * Makes the calls of @row, all of them INLINE, of which parse.rs said that
 * they are simple, and writes their results behind the @done that are there.
 * Returns how many. Where those are not all, @last says what became of the next
 * one. With NLCALL_CALLED_NOT it was not made: an argument of it is not found so
 * simply. Otherwise it was made, its result is not written, and it
 * needs a closer look: it was interrupted, broke its chain or left something
 * behind, @open became 0, or writing faulted. In every case those of its
 * arguments that are values by now are marked as such.
 */
u32 nlcall_run(const struct nlcall_row *row, struct nlcall_results __user *head, u32 done,
	       const u32 *open, struct nlcall_called *last);

/* The message that a handler is handling, kept beyond it. */
void nlcall_message_hold(struct sk_buff *skb);
void nlcall_message_release(struct sk_buff *skb);

/* The sender: current, in a netlink handler. */
#define NLCALL_SENDER_KERNEL	BIT(0)
#define NLCALL_SENDER_COMPAT	BIT(1)
#define NLCALL_SENDER_SECCOMP	BIT(2)
#define NLCALL_SENDER_EXITING	BIT(3)
#define NLCALL_SENDER_INLINE	BIT(4)
#define NLCALL_SENDER_WITHIN	BIT(5)	/* another call, which sends for it */
unsigned int nlcall_sender(void);
/* Whether a thread of the process of current executes another program just now. */
bool nlcall_executing(void);
bool nlcall_dying(void);
/* Whether the process of current has threads that run no program of it. */
bool nlcall_has_workers(void);

/*
 * The credentials that opened a socket, borrowed as long as its file is held;
 * NULL where there are none.
 */
const struct cred *nlcall_opener(struct sock *sk);
/* Stores @entry where nothing is: 0, -EEXIST, -ENOMEM. */
int nlcall_xa_claim(struct xarray *xa, unsigned long index, void *entry);
void nlcall_sock_get(struct sock *sk);
void nlcall_sock_put(struct sock *sk);
/*
 * Not writable, writable again, and telling those that poll. One drain for
 * the one fill that there may be at a time, before the caller's reference goes.
 */
void nlcall_sock_fill(struct sock *sk);
void nlcall_sock_drain(struct sock *sk);
void nlcall_sock_announce(struct sock *sk);

/* Whether completions may take @len more bytes of the receive buffer. */
bool nlcall_has_room(struct sock *sk, size_t len);
bool nlcall_is_full(struct sock *sk);
/*
 * Charges @skb to @sk without waiting. On success the message owns one
 * reference of @session until nlcall_message_gone() takes it over, @sk is
 * held, and nlcall_send_message() must follow, which consumes both. On failure
 * @skb is consumed and the caller keeps the reference.
 */
int nlcall_attach_message(struct sock *sk, struct sk_buff *skb, void *session);
void nlcall_send_message(struct sock *sk, struct sk_buff *skb);

/* Sends @skb, which it consumes, to the sender of the request. */
int nlcall_reply(struct sk_buff *skb, struct genl_info *info);
void nlcall_extack(struct netlink_ext_ack *extack, const struct nlattr *attr,
		   const char *text, int len);

/*
 * Offers @skb, which it consumes, to those members of the multicast group that may
 * listen. Returns how many these are, whether or not they had room.
 */
unsigned int nlcall_broadcast(struct sk_buff *skb, u32 group);

/*
 * Who looks on: more than 0 while anybody does. The tracepoints of trace.h; @args
 * are six values, @text need not end with a NUL.
 */
extern atomic_t nlcall_watched;
void nlcall_trace_submit(u64 session, u32 pid, u64 user_data, u32 nr, u32 flags, const u64 *args);
void nlcall_trace_complete(u64 session, u64 user_data, u32 nr, s64 ret, u32 outcome, u64 ns);
void nlcall_trace_failed(u64 session, u32 pid, u32 command, int err, const char *text, u32 len);

/* Implemented in Rust. */
bool nlcall_worker_run(void *worker);
void nlcall_worker_killed(void *worker);
void nlcall_worker_blocked(void *worker);
void nlcall_worker_late(void *worker, u32 call);
bool nlcall_has_sessions(void);
bool nlcall_has_session(struct pid *tgid);
void nlcall_process_ends(struct pid *tgid);
void nlcall_message_gone(void *session);
/* For each number the argument that tells a short transfer, or 0; see ended.rs. */
extern const u8 nlcall_lengths[];

#endif /* NLCALL_SHIM_H */
