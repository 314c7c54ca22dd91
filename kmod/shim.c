// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Rust cannot reach: macros, inline functions, symbols that are not
 * exported. No decision about a call is taken here. shim.h says who owns what.
 */
#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/vhost_task.h>
#include <linux/seccomp.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/stringify.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>
#include <linux/tracepoint.h>
#include <linux/utsname.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "compat.h"
#include "shim.h"
#include "target.h"

char nlcall_access[32] = "root";
module_param_string(access, nlcall_access, sizeof(nlcall_access), 0444);
MODULE_PARM_DESC(access, "who may submit: root (default), everyone or a group id");

#define NLCALL_SETTING(name, index, text)				\
	module_param_named(name, nlcall_settings[index], uint, 0444);	\
	MODULE_PARM_DESC(name, text)

unsigned int nlcall_settings[NLCALL_SETTINGS] = {
	[NLCALL_MAX_IN_FLIGHT] = 65536,
	[NLCALL_MAX_WORKERS] = 128,
	[NLCALL_MAX_IN_FLIGHT_USER] = 262144,
	[NLCALL_MAX_WORKERS_USER] = 1024,
	[NLCALL_MAX_WORKERS_TOTAL] = 8192,
	[NLCALL_MAX_RUNNING] = 0,
	[NLCALL_IDLE_MS] = 5000,
	[NLCALL_MAX_INLINE_BYTES] = 64 << 20,
};
NLCALL_SETTING(max_in_flight, NLCALL_MAX_IN_FLIGHT,
	       "most calls in flight per session (default 65536)");
NLCALL_SETTING(max_workers, NLCALL_MAX_WORKERS,
	       "most workers per session (default 128)");
NLCALL_SETTING(max_in_flight_user, NLCALL_MAX_IN_FLIGHT_USER,
	       "most calls in flight per user (default 262144)");
NLCALL_SETTING(max_workers_user, NLCALL_MAX_WORKERS_USER,
	       "most workers per user (default 1024)");
NLCALL_SETTING(max_workers_total, NLCALL_MAX_WORKERS_TOTAL,
	       "most workers of the machine (default 8192)");
NLCALL_SETTING(max_running, NLCALL_MAX_RUNNING,
	       "most running workers per session (default 0: by processors)");
NLCALL_SETTING(idle_ms, NLCALL_IDLE_MS,
	       "milliseconds that a worker without a call stays (default 5000)");
NLCALL_SETTING(max_inline_bytes, NLCALL_MAX_INLINE_BYTES,
	       "most bytes of waiting INLINE messages per user (default 64 MiB)");

bool nlcall_classic;
module_param_named(classic, nlcall_classic, bool, 0444);
MODULE_PARM_DESC(classic, "also serve raw netlink protocol 28 (default no)");
MODULE_ALIAS_GENL_FAMILY("nlcall");

/* Symbols that are not exported, bound by static calls once found. */

long x64_sys_call(const struct pt_regs *regs, unsigned int nr);
void put_files_struct(struct files_struct *files);

DEFINE_STATIC_CALL_RET0(nlcall_switch, x64_sys_call);
DEFINE_STATIC_CALL_RET0(nlcall_attach, netlink_attachskb);
DEFINE_STATIC_CALL_RET0(nlcall_send, netlink_sendskb);
DEFINE_STATIC_CALL_NULL(nlcall_work, task_work_run);
DEFINE_STATIC_CALL_NULL(nlcall_put, put_files_struct);
DEFINE_STATIC_CALL_RET0(nlcall_wake, wake_up_state);
DEFINE_STATIC_CALL_RET0(nlcall_zap, zap_other_threads);
DEFINE_STATIC_CALL_RET0(nlcall_permit, NLCALL_SECCOMP);
#ifdef CONFIG_AUDITSYSCALL
DEFINE_STATIC_CALL_NULL(nlcall_audit_entry, __audit_syscall_entry);
DEFINE_STATIC_CALL_NULL(nlcall_audit_exit, __audit_syscall_exit);
DEFINE_STATIC_CALL_RET0(nlcall_audit_alloc, audit_alloc);
DEFINE_STATIC_CALL_NULL(nlcall_audit_free, __audit_free);
#endif

/*
 * A disabled kprobe resolves a symbol and patches nothing. Its address lies
 * behind a sealed ENDBR where the function has one: take that offset back.
 */
void *nlcall_find(const char *name)
{
	struct kprobe kp = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	char symbol[KSYM_SYMBOL_LEN];
	unsigned long addr, offset = 0;
	char *plus;
	int err;

	err = register_kprobe(&kp);
	if (err) {
		pr_err("nlcall: %s: not found in this kernel (%d)\n", name, err);
		return ERR_PTR(err);
	}
	addr = (unsigned long)kp.addr;
	unregister_kprobe(&kp);

	sprint_symbol(symbol, addr);
	plus = strchr(symbol, '+');
	if (plus && sscanf(plus, "+0x%lx", &offset) == 1)
		addr -= offset;
	return (void *)addr;
}

static int nlcall_resolve_audit(void)
{
#ifdef CONFIG_AUDITSYSCALL
	return nlcall_resolve(nlcall_audit_entry, "__audit_syscall_entry") ?:
	       nlcall_resolve(nlcall_audit_exit, "__audit_syscall_exit") ?:
	       nlcall_resolve(nlcall_audit_alloc, "audit_alloc") ?:
	       nlcall_resolve(nlcall_audit_free, "__audit_free");
#else
	return 0;
#endif
}

static int nlcall_resolve_all(void)
{
	return nlcall_resolve(nlcall_switch, "x64_sys_call") ?:
	       nlcall_resolve(nlcall_attach, "netlink_attachskb") ?:
	       nlcall_resolve(nlcall_send, "netlink_sendskb") ?:
	       nlcall_resolve(nlcall_work, "task_work_run") ?:
	       nlcall_resolve(nlcall_put, "put_files_struct") ?:
	       nlcall_resolve(nlcall_wake, "wake_up_state") ?:
	       nlcall_resolve(nlcall_zap, "zap_other_threads") ?:
	       nlcall_resolve(nlcall_permit, __stringify(NLCALL_SECCOMP)) ?:
	       nlcall_resolve_audit() ?:
	       nlcall_target_init();
}

/* Workers. */

struct nlcall_thread {
	void *worker;
	atomic_t *nr_blocked;
	struct vhost_task *vtsk;
	struct task_struct *task;	/* set and pinned by its first run */
	struct files_struct *files;	/* a reference until its first run */
	struct cred *cred;		/* likewise */
	struct preempt_notifier notifier;
	struct irq_work kick;
	bool blocked;			/* by the thread itself only */
};

/* Runs under the run-queue lock: count, and leave the waking to the irq_work. */
static void nlcall_sched_out(struct preempt_notifier *notifier,
			     struct task_struct *next)
{
	struct nlcall_thread *t = container_of(notifier, struct nlcall_thread,
					       notifier);

	if (task_is_runnable(current))
		return;
	t->blocked = true;
	atomic_inc(t->nr_blocked);
	irq_work_queue(&t->kick);
}

static void nlcall_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct nlcall_thread *t = container_of(notifier, struct nlcall_thread,
					       notifier);

	if (!t->blocked)
		return;
	t->blocked = false;
	atomic_dec(t->nr_blocked);
}

static struct preempt_ops nlcall_preempt_ops = {
	.sched_in	= nlcall_sched_in,
	.sched_out	= nlcall_sched_out,
};

static void nlcall_kick(struct irq_work *work)
{
	struct nlcall_thread *t = container_of(work, struct nlcall_thread, kick);

	nlcall_worker_blocked(t->worker);
}

/*
 * The thread's own credentials are a private copy. A call that would change
 * the credentials of its thread then finds them overridden, and is refused by
 * the kernel's own check, even where the call's are those of the thread's
 * maker.
 */
static void nlcall_thread_settle(struct nlcall_thread *t)
{
	__set_current_state(TASK_RUNNING);
	commit_creds(t->cred);
	t->cred = NULL;
	task_lock(current);
	current->files = t->files;
	task_unlock(current);
	t->files = NULL;
	smp_store_release(&t->task, get_task_struct(current));
}

static bool nlcall_thread_fn(void *data)
{
	struct nlcall_thread *t = data;

	if (t->cred)
		nlcall_thread_settle(t);
	return nlcall_worker_run(t->worker);
}

static void nlcall_thread_killed(void *data)
{
	struct nlcall_thread *t = data;

	/* Killed before its first run: it gives back what it was given, not the reaper. */
	if (t->cred)
		nlcall_thread_settle(t);
	nlcall_worker_killed(t->worker);
}

struct nlcall_thread *nlcall_thread_new(void *worker, atomic_t *blocked)
{
	struct nlcall_thread *t = kzalloc_obj(*t, GFP_KERNEL_ACCOUNT);

	if (!t)
		return NULL;
	t->worker = worker;
	t->nr_blocked = blocked;
	preempt_notifier_init(&t->notifier, &nlcall_preempt_ops);
	init_irq_work(&t->kick, nlcall_kick);
	return t;
}

int nlcall_thread_start(struct nlcall_thread *t)
{
	struct vhost_task *vtsk;

	t->cred = prepare_creds();
	if (!t->cred)
		return -ENOMEM;
	vtsk = vhost_task_create(nlcall_thread_fn, nlcall_thread_killed, t,
				 "nlcall");
	if (IS_ERR(vtsk)) {
		abort_creds(t->cred);
		return PTR_ERR(vtsk);
	}
	t->vtsk = vtsk;
	t->files = current->files;
	atomic_inc(&t->files->count);
	vhost_task_start(vtsk);
	return 0;
}

void nlcall_thread_stop(struct nlcall_thread *t)
{
	vhost_task_stop(t->vtsk);
	if (t->cred) {
		abort_creds(t->cred);
		static_call(nlcall_put)(t->files);
	}
	if (t->task)
		put_task_struct(t->task);
	irq_work_sync(&t->kick);
}

void nlcall_thread_free(struct nlcall_thread *t)
{
	kfree(t);
}

void nlcall_thread_wake(struct nlcall_thread *t)
{
	vhost_task_wake(t->vtsk);
}

/* Lets an interruptible call of @task return, as set_notify_signal() does. */
static void nlcall_interrupt(struct task_struct *task)
{
	if (!test_and_set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL) &&
	    !static_call(nlcall_wake)(task, TASK_INTERRUPTIBLE))
		kick_process(task);
}

void nlcall_thread_interrupt(struct nlcall_thread *t)
{
	struct task_struct *task = smp_load_acquire(&t->task);

	if (task)
		nlcall_interrupt(task);
}

void nlcall_thread_begin(struct nlcall_thread *t)
{
	__set_current_state(TASK_RUNNING);
	guard(preempt)();
	preempt_notifier_register(&t->notifier);
}

void nlcall_thread_end(struct nlcall_thread *t)
{
	guard(preempt)();
	preempt_notifier_unregister(&t->notifier);
}

/* @regs: what a call reads of its registers is set; the rest is nobody's. */
static __always_inline long nlcall_make(struct pt_regs *regs, u32 nr, const u64 *args)
{
	regs->di = args[0];
	regs->si = args[1];
	regs->dx = args[2];
	regs->r10 = args[3];
	regs->r8 = args[4];
	regs->r9 = args[5];
	return static_call(nlcall_switch)(regs, nr);
}

/* Lets a call return when its time is up. */
struct nlcall_alarm {
	struct hrtimer timer;
	struct task_struct *task;	/* waits for the end of the timer */
	void *worker;			/* of that thread, if it is one */
	u32 call;			/* what the worker executes */
	bool rang;
};

static enum hrtimer_restart nlcall_ring(struct hrtimer *timer)
{
	struct nlcall_alarm *alarm = container_of(timer, struct nlcall_alarm, timer);

	if (alarm->worker) {
		nlcall_worker_late(alarm->worker, alarm->call);
	} else {
		WRITE_ONCE(alarm->rang, true);
		nlcall_interrupt(alarm->task);
	}
	return HRTIMER_NORESTART;
}

static void nlcall_set_alarm(struct nlcall_alarm *alarm, s64 deadline)
{
	alarm->task = current;
	hrtimer_setup_on_stack(&alarm->timer, nlcall_ring, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	hrtimer_start(&alarm->timer, deadline, HRTIMER_MODE_ABS);
}

static void nlcall_clear_alarm(struct nlcall_alarm *alarm)
{
	hrtimer_cancel(&alarm->timer);
	destroy_hrtimer_on_stack(&alarm->timer);
}

/*
 * Audit. What entry code does around each call where rules may ask for a
 * record of it.
 */
#ifdef CONFIG_AUDITSYSCALL

bool nlcall_audit_watches(void)
{
	return unlikely(audit_enabled && audit_context());
}

static void nlcall_audit_call(u32 nr, const u64 *args)
{
	static_call_cond(nlcall_audit_entry)(nr, args[0], args[1], args[2], args[3]);
}

static void nlcall_audit_return(long ret)
{
	static_call_cond(nlcall_audit_exit)(!IS_ERR_VALUE(ret), ret);
}

/* A worker speaks for its process, which may have been given its login later. */
static void nlcall_audit_login(void)
{
	current->loginuid = READ_ONCE(current->group_leader->loginuid);
	current->sessionid = READ_ONCE(current->group_leader->sessionid);
}

/*
 * Gives current a context of its own for calls that it makes itself: the one
 * that it has may be in use, by the system call that runs the task work. The
 * kernel noted in that, when the message was sent, whether there are rules.
 */
static int nlcall_audit_open(struct nlcall_mark *mark)
{
	struct audit_context *own = audit_context();
	int err;

	if (!audit_enabled || audit_dummy_context())
		return 0;
	audit_set_context(current, NULL);
	err = static_call(nlcall_audit_alloc)(current);
	if (err)
		audit_set_context(current, own);
	else
		mark->own = own;
	return err;
}

static void nlcall_audit_close(struct nlcall_mark *mark)
{
	if (audit_context())
		static_call_cond(nlcall_audit_free)(current);
	audit_set_context(current, mark->own);
	set_task_syscall_work(current, SYSCALL_AUDIT);
}

/* The call does not return: the thread's end makes the record of it. */
static void nlcall_audit_farewell(u32 nr, const u64 *args)
{
	if (!audit_enabled || audit_dummy_context())
		return;
	static_call_cond(nlcall_audit_free)(current);
	if (!static_call(nlcall_audit_alloc)(current) && audit_context())
		nlcall_audit_call(nr, args);
}

#else

bool nlcall_audit_watches(void)
{
	return false;
}

static void nlcall_audit_call(u32 nr, const u64 *args) { }
static void nlcall_audit_return(long ret) { }
static void nlcall_audit_login(void) { }
static int nlcall_audit_open(struct nlcall_mark *mark) { return 0; }
static void nlcall_audit_close(struct nlcall_mark *mark) { }
static void nlcall_audit_farewell(u32 nr, const u64 *args) { }

#endif

void nlcall_burst_begin(const struct cred *cred)
{
	override_creds(cred);
}

/*
 * A worker takes no signals but those that end it or stop it. What its calls
 * raise in the thread that writes where nobody reads, or too much, is for its
 * process.
 */
#define NLCALL_OF_WRITERS	(sigmask(SIGPIPE) | sigmask(SIGXFSZ))

static __always_inline bool nlcall_has_signals(void)
{
	return sigtestsetmask(&current->pending.signal, NLCALL_OF_WRITERS);
}

static noinline void nlcall_pass_signals(void)
{
	kernel_siginfo_t info;
	enum pid_type type;
	sigset_t others;
	int sig;

	siginitsetinv(&others, NLCALL_OF_WRITERS);
	do {
		scoped_guard(spinlock_irq, &current->sighand->siglock)
			sig = nlcall_has_signals() ? dequeue_signal(&others, &info, &type) : 0;
		if (sig)
			kill_pid(task_tgid(current), sig, 0);
	} while (sig);
}

/*
 * What the call left to do at the return to user mode, as closing files, and
 * what others want of the thread: Landlock gives it credentials. So its own are
 * in force meanwhile.
 */
static noinline void nlcall_work_apart(void)
{
	const struct cred *cred = override_creds(current_real_cred());

	static_call(nlcall_work)();
	override_creds(cred);
}

__no_stack_protector
struct nlcall_called nlcall_burst_call(u32 nr, const u64 *args)
{
	struct pt_regs regs __uninitialized;
	long ret = nlcall_make(&regs, nr, args);
	unsigned long ti = read_thread_flags();

	/* Mostly it comes with an error. Otherwise the end of the burst is early enough. */
	if (unlikely(IS_ERR_VALUE(ret)) && nlcall_has_signals())
		nlcall_pass_signals();
	if (unlikely(ti & (_TIF_NOTIFY_RESUME | _TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY))) {
		if (test_and_clear_thread_flag(TIF_NOTIFY_RESUME) && task_work_pending(current))
			nlcall_work_apart();
		cond_resched_tasks_rcu_qs();
		ti = read_thread_flags();
	}
	return (struct nlcall_called){ ret, ti & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL) };
}

struct nlcall_called nlcall_burst_call_audited(u32 nr, const u64 *args)
{
	struct nlcall_called called;

	nlcall_audit_login();
	nlcall_audit_call(nr, args);
	called = nlcall_burst_call(nr, args);
	nlcall_audit_return(called.ret);
	return called;
}

void nlcall_burst_end(const struct cred *cred)
{
	if (unlikely(nlcall_has_signals()))
		nlcall_pass_signals();
	WARN_ON_ONCE(current_cred() != cred);
	/* Not those of the beginning, which may have been replaced. */
	revert_creds(current_real_cred());
	cond_resched_tasks_rcu_qs();
}

long nlcall_execute(u32 nr, const u64 *args, const struct cred *cred)
{
	long ret;

	nlcall_burst_begin(cred);
	if (nlcall_audit_watches())
		ret = nlcall_burst_call_audited(nr, args).ret;
	else
		ret = nlcall_burst_call(nr, args).ret;
	nlcall_burst_end(cred);
	return ret;
}

long nlcall_execute_until(u32 nr, const u64 *args, const struct cred *cred, s64 deadline,
			  struct nlcall_thread *t, u32 call)
{
	struct nlcall_alarm alarm = { .worker = t->worker, .call = call };
	long ret;

	nlcall_set_alarm(&alarm, deadline);
	ret = nlcall_execute(nr, args, cred);
	nlcall_clear_alarm(&alarm);
	return ret;
}

/* Calls of the submitting thread itself. */

/* What the kernel does at the return to user mode, as far as it cannot wait. */
static noinline unsigned long nlcall_attend(unsigned long ti)
{
	unsigned long state = 0;

	if (ti & (_TIF_NOTIFY_RESUME | _TIF_NOTIFY_SIGNAL)) {
		if (test_and_clear_thread_flag(TIF_NOTIFY_RESUME))
			state |= NLCALL_CALLED_RESUME;
		clear_thread_flag(TIF_NOTIFY_SIGNAL);
		/* Pairs with the flag being set after the work was added. */
		smp_mb__after_atomic();
		if (task_work_pending(current))
			static_call(nlcall_work)();
	}
	if (task_sigpending(current))
		state |= NLCALL_CALLED_SIGNAL;
	else if (test_and_clear_restore_sigmask())
		/* A call with a mask of its own was interrupted, and no signal puts back the thread's. */
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
	cond_resched_tasks_rcu_qs();
	return state;
}

static __always_inline unsigned long nlcall_look(void)
{
	struct thread_info *thread = current_thread_info();
	unsigned long ti = read_ti_thread_flags(thread), state = 0;

	if (unlikely(ti & (_TIF_NOTIFY_RESUME | _TIF_NOTIFY_SIGNAL | _TIF_SIGPENDING |
			   _TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY)))
		state = nlcall_attend(ti);
	if (unlikely(READ_ONCE(thread->syscall_work) & SYSCALL_WORK_SECCOMP))
		state |= NLCALL_CALLED_SECCOMP;
	return state;
}

static __always_inline struct nlcall_called nlcall_switch_to(struct pt_regs *regs, u32 nr,
							     const u64 *args)
{
	long ret = nlcall_make(regs, nr, args);

	return (struct nlcall_called){ ret, nlcall_look() };
}

struct nlcall_called nlcall_call(u32 nr, const u64 *args)
{
	struct pt_regs regs __uninitialized;

	return nlcall_switch_to(&regs, nr, args);
}

struct nlcall_called nlcall_call_until(u32 nr, const u64 *args, s64 deadline)
{
	struct nlcall_alarm alarm = {};
	struct nlcall_called called;

	if (!deadline)
		return nlcall_call(nr, args);
	nlcall_set_alarm(&alarm, deadline);
	called = nlcall_call(nr, args);
	nlcall_clear_alarm(&alarm);
	if (alarm.rang)
		called.state |= NLCALL_CALLED_LATE;
	return called;
}

struct nlcall_called nlcall_call_audited(u32 nr, const u64 *args, s64 deadline)
{
	struct nlcall_called called;

	nlcall_audit_call(nr, args);
	called = nlcall_call_until(nr, args, deadline);
	nlcall_audit_return(called.ret);
	return called;
}

void nlcall_farewell(u32 nr, const u64 *args)
{
	nlcall_audit_farewell(nr, args);
	nlcall_call(nr, args);
}

/* Marks the thread while it executes INLINE calls, and while it is asked about one. */
static void nlcall_marked_in(struct preempt_notifier *notifier, int cpu)
{
}

static void nlcall_marked_out(struct preempt_notifier *notifier, struct task_struct *next)
{
}

static struct preempt_ops nlcall_inline_ops = {
	.sched_in	= nlcall_marked_in,
	.sched_out	= nlcall_marked_out,
};

static struct preempt_ops nlcall_asking_ops = {
	.sched_in	= nlcall_marked_in,
	.sched_out	= nlcall_marked_out,
};

static bool nlcall_is_inline(void)
{
	struct preempt_notifier *notifier;

	hlist_for_each_entry(notifier, &current->preempt_notifiers, link)
		if (notifier->ops == &nlcall_inline_ops || notifier->ops == &nlcall_asking_ops)
			return true;
	return false;
}

unsigned long nlcall_inline_begin(struct nlcall_mark *mark)
{
	unsigned long state = 0;

	mark->own = NULL;
	if (nlcall_audit_watches()) {
		if (nlcall_audit_open(mark))
			state |= NLCALL_CALLED_BLIND;
		else if (mark->own)
			state |= NLCALL_CALLED_AUDITED;
	}
	preempt_notifier_init(&mark->notifier, &nlcall_inline_ops);
	scoped_guard(preempt)
		preempt_notifier_register(&mark->notifier);
	return state | nlcall_look();
}

void nlcall_inline_end(struct nlcall_mark *mark, unsigned long state)
{
	scoped_guard(preempt)
		preempt_notifier_unregister(&mark->notifier);
	if (unlikely(mark->own))
		nlcall_audit_close(mark);
	if (state & NLCALL_CALLED_RESUME)
		set_thread_flag(TIF_NOTIFY_RESUME);
}

bool nlcall_may_be_in_get_signal(void)
{
	return test_thread_flag(TIF_NOTIFY_RESUME) && refcount_read(&current->sighand->count) > 1;
}

/* The entry at @at, after which @done are there. nlcall_may_put() said yes. */
static __always_inline bool nlcall_put(struct nlcall_results __user *head, u64 __user *at,
				       u32 done, u64 user_data, s64 ret, u64 how)
{
	__uaccess_begin_nospec();
	unsafe_put_user(user_data, at, fault);
	unsafe_put_user(ret, at + 1, fault);
	unsafe_put_user(how, at + 2, fault);
	unsafe_put_user(0, at + 3, fault);
	/* Behind the entry: stores of this processor are seen in their order. */
	barrier();
	unsafe_put_user(done, &head->done, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

static __always_inline u64 __user *nlcall_place(struct nlcall_results __user *head, u32 index)
{
	return (u64 __user *)(head + 1) + 4ul * index;
}

/* Whether all before @end is memory of the process, mapped or not. */
static __always_inline bool nlcall_may_put(struct nlcall_results __user *head, u64 __user *end)
{
	return access_ok(head, (void __user *)end - (void __user *)head);
}

bool nlcall_put_result(struct nlcall_results __user *head, u32 index, u64 user_data, s64 ret,
		       u32 how)
{
	u64 __user *at = nlcall_place(head, index);

	return nlcall_may_put(head, at + 4) && nlcall_put(head, at, index + 1, user_data, ret, how);
}

/* The arguments that come from earlier calls: the lowest bit of the kind of each. */
static __always_inline u32 nlcall_references(u32 kinds)
{
	return (kinds >> 1 | (kinds >> 2 & ~kinds)) & NLCALL_KINDS;
}

/* Reads a field of the output of the call @from. */
static __always_inline bool nlcall_load(const struct nlcall_entry *from, u64 *arg)
{
	u32 output = from->arg_kinds & from->arg_kinds >> 2 & NLCALL_KINDS;
	const u64 *args = from->args;
	u64 at, field8;
	u32 field4;

	if (!output || check_add_overflow(args[__ffs(output) / 4], *arg >> 32, &at))
		return false;
	switch (*arg >> 24 & 0xff) {
	case 4:
		if (get_user(field4, (u32 __user *)at))
			return false;
		*arg = field4;
		return true;
	case 8:
		if (get_user(field8, (u64 __user *)at))
			return false;
		*arg = field8;
		return true;
	}
	return false;
}

/* The call @index of the message, where it lies before @entry in its attribute. */
static __always_inline const struct nlcall_entry *nlcall_earlier(const struct nlcall_row *row,
								 const struct nlcall_entry *entry,
								 u64 index)
{
	/* Calls of earlier attributes come out as later than any. */
	const u64 at = (index - row->first) * sizeof(*entry);

	return likely(at < (u64)((void *)entry - row->begin)) ? row->begin + at : NULL;
}

/*
 * Gives arguments the values that they take from calls of the same attribute.
 * On failure, those that have theirs are marked as values.
 */
static __always_inline bool nlcall_refer(const struct nlcall_row *row, struct nlcall_entry *entry)
{
	u32 kinds = entry->arg_kinds, all, left;
	const struct nlcall_entry *from;
	u64 *args = entry->args;

	/* Most often it is a descriptor that comes from an earlier call. */
	if ((kinds & 0xf) == NLCALL_RESULT) {
		from = nlcall_earlier(row, entry, *args);
		if (unlikely(!from))
			return false;
		*args = from->ret;
		kinds ^= NLCALL_RESULT;
		if (!kinds || kinds == NLCALL_OUT_PTR << 4)
			return true;
	}
	all = nlcall_references(kinds);
	for (left = all; left; left &= left - 1) {
		unsigned long bit = __ffs(left) & 31;
		u64 *arg = args + bit / 4;

		if (kinds >> bit & 1) {
			from = nlcall_earlier(row, entry, *arg);
			if (unlikely(!from))
				break;
			*arg = from->ret;
		} else {
			from = nlcall_earlier(row, entry, *arg & 0xffffff);
			if (unlikely(!from || !nlcall_load(from, arg)))
				break;
		}
	}
	if (unlikely(left)) {
		entry->arg_kinds = kinds & ~((all ^ left) * 7);
		return false;
	}
	return true;
}

/* Whether a call that did not fail transferred less than it was to. */
static __always_inline bool nlcall_is_short(const struct nlcall_entry *entry, long ret)
{
	const u64 *args = entry->args;
	u8 length = nlcall_lengths[entry->nr];

	return length && args[length] != ret;
}

/* Whether Rust is to look at what a call returned. */
static __always_inline bool nlcall_is_odd(const struct nlcall_entry *entry, bool plain, long ret)
{
	const bool breaks = !plain && entry->flags == (NLCALL_INLINE | NLCALL_LINK);

	if (unlikely(IS_ERR_VALUE(ret)))
		return breaks || (ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK);
	return breaks && nlcall_is_short(entry, ret);
}

static __always_inline u32 nlcall_loop(const struct nlcall_row *row, bool plain,
				       struct nlcall_results __user *head, u32 done,
				       const u32 *open, struct nlcall_called *last)
{
	struct nlcall_entry *entry = row->begin + row->from;
	u64 __user *const start = nlcall_place(head, done);
	u64 __user *const end = start + 4ul * row->count;
	struct pt_regs regs __uninitialized;
	u64 __user *at;

	last->state = NLCALL_CALLED_NOT;
	if (unlikely(!nlcall_may_put(head, end)))
		return 0;
	for (at = start; at != end; at += 4, entry++) {
		struct nlcall_called called;

		if (!plain && entry->arg_kinds && unlikely(!nlcall_refer(row, entry)))
			break;
		called = nlcall_switch_to(&regs, entry->nr, entry->args);
		if (unlikely(called.state || !READ_ONCE(*open) ||
			     nlcall_is_odd(entry, plain, called.ret) ||
			     !nlcall_put(head, at, ++done, entry->user_data, called.ret, 0))) {
			entry->arg_kinds &= ~(nlcall_references(entry->arg_kinds) * 7);
			*last = called;
			break;
		}
		/* For later calls of the chain. */
		if (!plain)
			entry->ret = called.ret;
	}
	return (at - start) / 4;
}

u32 nlcall_run(const struct nlcall_row *row, struct nlcall_results __user *head, u32 done,
	       const u32 *open, struct nlcall_called *last)
{
	if (row->plain)
		return nlcall_loop(row, true, head, done, open, last);
	return nlcall_loop(row, false, head, done, open, last);
}

/* The question whether current may make a call. */

/* What seccomp, a tracer and a supervisor see of the call. */
static void nlcall_show(struct pt_regs *regs, const struct nlcall_question *q)
{
	regs->orig_ax = q->nr;
	regs->ax = q->ret;
	regs->di = q->args[0];
	regs->si = q->args[1];
	regs->dx = q->args[2];
	regs->r10 = q->args[3];
	regs->r8 = q->args[4];
	regs->r9 = q->args[5];
}

static void nlcall_see(const struct pt_regs *regs, struct nlcall_question *q)
{
	q->nr = regs->orig_ax;
	q->ret = regs->ax;
	q->args[0] = regs->di;
	q->args[1] = regs->si;
	q->args[2] = regs->dx;
	q->args[3] = regs->r10;
	q->args[4] = regs->r8;
	q->args[5] = regs->r9;
}

/* The thread was killed by a filter, or a signal is to be handled. */
static bool nlcall_is_stopped(void)
{
	return current->seccomp.mode > SECCOMP_MODE_FILTER || task_sigpending(current);
}

unsigned int nlcall_ask(struct nlcall_question *q)
{
	struct pt_regs *regs = current_pt_regs();
	struct nlcall_question own;
	bool permitted;

	q->ret = -ENOSYS;
	/* Whom a filter killed is not to be asked about any more. */
	if (current->seccomp.mode > SECCOMP_MODE_FILTER)
		return NLCALL_ANSWER_STOP;
	/* Task work that was added by now runs when this piece of it has returned. */
	clear_thread_flag(TIF_NOTIFY_SIGNAL);
	nlcall_see(regs, &own);
	preempt_notifier_init(&q->mark, &nlcall_asking_ops);
	scoped_guard(preempt)
		preempt_notifier_register(&q->mark);
	nlcall_show(regs, q);
	permitted = nlcall_says_yes(static_call(nlcall_permit)());
	nlcall_see(regs, q);
	nlcall_show(regs, &own);
	scoped_guard(preempt)
		preempt_notifier_unregister(&q->mark);

	if (permitted)
		return NLCALL_ANSWER_YES;
	/* The handler was to find the number where the result goes: see syscall_rollback(). */
	if (q->ret == (s64)q->nr && sigismember(&current->pending.signal, SIGSYS))
		q->ret = -ENOSYS;
	if (nlcall_is_stopped())
		return NLCALL_ANSWER_STOP;
	/* Other task work interrupted a supervisor's answer. */
	if (q->ret == -ERESTARTSYS && test_thread_flag(TIF_NOTIFY_SIGNAL))
		return NLCALL_ANSWER_LATER;
	return NLCALL_ANSWER_NO;
}

/* A filter ends the thread instead of answering: its exit runs the errand. */
static void nlcall_bequeath(void)
{
	struct nlcall_question *q;
	struct hlist_node *next;

	hlist_for_each_entry_safe(q, next, &current->preempt_notifiers, mark.link) {
		if (q->mark.ops != &nlcall_asking_ops)
			continue;
		preempt_notifier_unregister(&q->mark);
		WARN_ON_ONCE(task_work_add(current, q->heir, TWA_NONE));
	}
}

bool nlcall_has_workers(void)
{
	struct task_struct *t;

	guard(rcu)();
	for_each_thread(current, t)
		if (t->flags & PF_USER_WORKER)
			return true;
	return false;
}

/*
 * A thread ends. Where none is left but workers, the process ends with its
 * status, as exit_group() would end it; the workers would keep it alive, and
 * the last of them would give the status.
 */
static void nlcall_exit_probe(void *data, struct task_struct *p, bool group_dead)
{
	struct signal_struct *signal = p->signal;
	struct task_struct *t;
	unsigned long flags;

	if (p->flags & (PF_KTHREAD | PF_USER_WORKER))
		return;
	if (unlikely(!hlist_empty(&current->preempt_notifiers)))
		nlcall_bequeath();
	if (!nlcall_has_sessions())
		return;
	scoped_guard(rcu)
		for_each_thread(p, t)
			if (!(t->flags & (PF_EXITING | PF_USER_WORKER)))
				return;
	if (!nlcall_has_session(task_tgid(p)))
		return;
	/* First the status: a worker that is told to go may be gone at once. */
	if (!group_dead) {
		spin_lock_irqsave(&p->sighand->siglock, flags);
		if (!(signal->flags & SIGNAL_GROUP_EXIT) && !signal->group_exec_task) {
			signal->flags = SIGNAL_GROUP_EXIT;
			signal->group_exit_code = p->exit_code;
			static_call(nlcall_zap)(p);
		}
		spin_unlock_irqrestore(&p->sighand->siglock, flags);
	}
	nlcall_process_ends(task_tgid(p));
}

/* A process executes another program: what it began before is over. */
static void nlcall_exec_probe(void *data, struct task_struct *p, pid_t old_pid,
			      struct linux_binprm *bprm)
{
	if (nlcall_has_sessions())
		nlcall_process_ends(task_tgid(p));
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tp;
} nlcall_probes[] = {
	{ "sched_process_exit", nlcall_exit_probe },
	{ "sched_process_exec", nlcall_exec_probe },
};

static void nlcall_find_tracepoint(struct tracepoint *tp, void *priv)
{
	for (int i = 0; i < ARRAY_SIZE(nlcall_probes); i++)
		if (!strcmp(tp->name, nlcall_probes[i].name))
			nlcall_probes[i].tp = tp;
}

static void nlcall_unregister_probes(int n)
{
	while (n--)
		tracepoint_probe_unregister(nlcall_probes[n].tp,
					    nlcall_probes[n].probe, NULL);
	tracepoint_synchronize_unregister();
}

static int nlcall_register_probes(void)
{
	for_each_kernel_tracepoint(nlcall_find_tracepoint, NULL);
	for (int i = 0; i < ARRAY_SIZE(nlcall_probes); i++) {
		int err = -ENOENT;

		if (nlcall_probes[i].tp)
			err = tracepoint_probe_register(nlcall_probes[i].tp,
							nlcall_probes[i].probe, NULL);
		if (err) {
			pr_err("nlcall: tracepoint %s: %d\n", nlcall_probes[i].name, err);
			nlcall_unregister_probes(i);
			return err;
		}
	}
	return 0;
}

const char *nlcall_release(void)
{
	return init_utsname()->release;
}

unsigned int nlcall_online_cpus(void)
{
	return num_online_cpus();
}

/* The sender. */

/*
 * Whether current is in a call that does nothing but send. Others may do it in
 * passing, as io_uring_enter(): what the message leaves to task work may then run
 * in the middle of them, where a thread must not end, nor execute a program.
 */
static bool nlcall_is_sending(void)
{
	switch (current_pt_regs()->orig_ax) {
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
		return true;
	default:
		return false;
	}
}

unsigned int nlcall_sender(void)
{
	unsigned int what = 0;

	if (current->flags & (PF_KTHREAD | PF_USER_WORKER | PF_IO_WORKER))
		what |= NLCALL_SENDER_KERNEL;
	if (in_compat_syscall())
		what |= NLCALL_SENDER_COMPAT;
	if (current->seccomp.mode)
		what |= NLCALL_SENDER_SECCOMP;
	if (current->flags & PF_EXITING)
		what |= NLCALL_SENDER_EXITING;
	if (unlikely(!hlist_empty(&current->preempt_notifiers)) && nlcall_is_inline())
		what |= NLCALL_SENDER_INLINE;
	if (!nlcall_is_sending())
		what |= NLCALL_SENDER_WITHIN;
	return what;
}

/*
 * Between de_thread() and its new memory, a process that executes a program must
 * not get a thread; task work may run there, for io_uring.
 */
bool nlcall_executing(void)
{
	return mutex_is_locked(&current->signal->cred_guard_mutex);
}

bool nlcall_dying(void)
{
	return fatal_signal_pending(current);
}

/* Sockets. */

const struct cred *nlcall_opener(struct sock *sk)
{
	struct socket *sock = sk->sk_socket;

	return sock && sock->file ? sock->file->f_cred : NULL;
}

int nlcall_xa_claim(struct xarray *xa, unsigned long index, void *entry)
{
	void *old = xa_cmpxchg(xa, index, NULL, entry, GFP_KERNEL_ACCOUNT);

	if (!old)
		return 0;
	return xa_is_err(old) ? xa_err(old) : -EEXIST;
}

void nlcall_sock_get(struct sock *sk)
{
	sock_hold(sk);
}

void nlcall_sock_put(struct sock *sk)
{
	sock_put(sk);
}

/* Messages that were received, and are kept. */

void nlcall_message_hold(struct sk_buff *skb)
{
	skb_get(skb);
}

void nlcall_message_release(struct sk_buff *skb)
{
	consume_skb(skb);
}

/* More than half of the largest send buffer: see sock_writeable(). */
#define NLCALL_FILL	(1 << 30)

void nlcall_sock_fill(struct sock *sk)
{
	refcount_add(NLCALL_FILL, &sk->sk_wmem_alloc);
}

void nlcall_sock_drain(struct sock *sk)
{
	WARN_ON_ONCE(refcount_sub_and_test(NLCALL_FILL, &sk->sk_wmem_alloc));
}

void nlcall_sock_announce(struct sock *sk)
{
	sk->sk_write_space(sk);
}

/* Delivery. */

bool nlcall_has_room(struct sock *sk, size_t len)
{
	return atomic_read(&sk->sk_rmem_alloc) + SKB_TRUESIZE(len) <=
	       READ_ONCE(sk->sk_rcvbuf) / 2;
}

/* netlink's own destructor, the same for every message. */
static void (*nlcall_netlink_destructor)(struct sk_buff *skb);

static void nlcall_destructor(struct sk_buff *skb)
{
	void *session = skb_shinfo(skb)->destructor_arg;

	READ_ONCE(nlcall_netlink_destructor)(skb);
	nlcall_message_gone(session);
}

bool nlcall_is_full(struct sock *sk)
{
	return atomic_read(&sk->sk_rmem_alloc) >= READ_ONCE(sk->sk_rcvbuf);
}

int nlcall_attach_message(struct sock *sk, struct sk_buff *skb, void *session)
{
	long timeo = 0;
	int err;

	/* Given back on failure, and by netlink_sendskb(). The socket as its own,
	 * non-kernel, sender keeps a full buffer from being an overrun.
	 */
	sock_hold(sk);
	err = static_call(nlcall_attach)(sk, skb, &timeo, sk);
	if (err)
		return err;
	WRITE_ONCE(nlcall_netlink_destructor, skb->destructor);
	skb_shinfo(skb)->destructor_arg = session;
	skb->destructor = nlcall_destructor;
	return 0;
}

void nlcall_send_message(struct sock *sk, struct sk_buff *skb)
{
	static_call(nlcall_send)(sk, skb);
}

/* Messages. */

int nlcall_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

void nlcall_extack(struct netlink_ext_ack *extack, const struct nlattr *attr,
		   const char *text, int len)
{
	NL_SET_ERR_MSG_FMT(extack, "%.*s", len, text);
	if (attr)
		NL_SET_BAD_ATTR(extack, attr);
}

/* Beginning and end. */

static struct workqueue_struct *nlcall_wq, *nlcall_patient_wq;

struct workqueue_struct *nlcall_queue(void)
{
	return nlcall_wq;
}

struct workqueue_struct *nlcall_patient_queue(void)
{
	return nlcall_patient_wq;
}

static void nlcall_destroy_queues(void)
{
	destroy_workqueue(nlcall_wq);
	destroy_workqueue(nlcall_patient_wq);
}

int nlcall_init(void)
{
	int err = nlcall_resolve_all();

	if (err)
		return err;
	nlcall_wq = alloc_workqueue("nlcall", WQ_UNBOUND, 0);
	if (!nlcall_wq)
		return -ENOMEM;
	nlcall_patient_wq = alloc_workqueue("nlcall_patient", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!nlcall_patient_wq) {
		destroy_workqueue(nlcall_wq);
		return -ENOMEM;
	}
	err = nlcall_register_probes();
	if (err) {
		nlcall_destroy_queues();
		return err;
	}
	preempt_notifier_inc();
	return 0;
}

/* No session is left; wait until every callback of ours has returned. */
void nlcall_exit(void)
{
	nlcall_unregister_probes(ARRAY_SIZE(nlcall_probes));
	nlcall_destroy_queues();
	preempt_notifier_dec();
	synchronize_rcu();
	synchronize_rcu_tasks();
}
