// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other processes: what the sender may do to one, and memory in one. target.h
 * says who owns what.
 */
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seccomp.h>
#include <linux/static_call.h>

#include "shim.h"
#include "target.h"

DEFINE_STATIC_CALL_RET0(nlcall_may_ptrace, ptrace_may_access);
DEFINE_STATIC_CALL_RET0(nlcall_pid_of_pidfd, pidfd_get_pid);

int nlcall_target_init(void)
{
	return nlcall_resolve(nlcall_may_ptrace, "ptrace_may_access") ?:
	       nlcall_resolve(nlcall_pid_of_pidfd, "pidfd_get_pid");
}

struct pid *nlcall_pidfd(int fd, int *err)
{
	unsigned int flags;
	struct pid *pid = static_call(nlcall_pid_of_pidfd)(fd, &flags);

	if (IS_ERR(pid)) {
		*err = PTR_ERR(pid);
		return NULL;
	}
	return pid;
}

struct task_struct *nlcall_live_thread(struct pid *pid)
{
	struct task_struct *p, *t;

	guard(rcu)();
	p = pid_task(pid, PIDTYPE_PID);
	if (!p)
		return NULL;
	/* The leader first. */
	for_each_thread(p, t)
		if (!(READ_ONCE(t->flags) & (PF_EXITING | PF_KTHREAD | PF_USER_WORKER)))
			return get_task_struct(t);
	return NULL;
}

/* A process that executes a program has the rights of both for a moment. */
static enum nlcall_may nlcall_look_at(struct task_struct *task, struct nlcall_target *target)
{
	if (!static_call(nlcall_may_ptrace)(task, PTRACE_MODE_ATTACH_REALCREDS))
		return NLCALL_MAY_NOT;
	if (current->seccomp.mode || (task->seccomp.mode && !capable(CAP_SYS_ADMIN)))
		return NLCALL_MAY_NOT_SECCOMP;
	if (test_tsk_thread_flag(task, TIF_ADDR32))
		return NLCALL_MAY_NOT_COMPAT;

	guard(task_lock)(task);
	if (!task->mm || !task->files || !task->fs || !task->nsproxy)
		return NLCALL_MAY_GONE;
	mmgrab(task->mm);
	target->mm = task->mm;
	target->cred = get_task_cred(task);
	target->files = task->files;
	target->fs = task->fs;
	target->nsproxy = task->nsproxy;
	target->tgid = get_pid(task_tgid(task));
	memcpy(target->comm, task->group_leader->comm, sizeof(target->comm));
	return NLCALL_MAY;
}

enum nlcall_may nlcall_target_of(struct pid *pid, struct nlcall_target *target)
{
	struct task_struct *task = nlcall_live_thread(pid);
	enum nlcall_may may = NLCALL_MAY_LATER;

	if (!task)
		return NLCALL_MAY_GONE;
	/* Not to wait for what another process does. */
	if (down_read_trylock(&task->signal->exec_update_lock)) {
		may = nlcall_look_at(task, target);
		up_read(&task->signal->exec_update_lock);
	}
	if (may == NLCALL_MAY)
		target->task = task;
	else
		put_task_struct(task);
	return may;
}

/*
 * Unmapping needs memory itself. Where there is none just now, it is waited for
 * a little: a process that ends gives back all of its memory anyway, and one that
 * has reached its limit of mappings can wait for ever.
 */
static noinline bool nlcall_give_back(unsigned long at, size_t len)
{
	const unsigned long until = jiffies + HZ / 25;
	int err;

	do {
		err = vm_munmap(at, len);
		if (err != -ENOMEM)
			return err != -EINTR;
		schedule_timeout_killable(1);
	} while (!fatal_signal_pending(current) && time_before(jiffies, until));
	return !fatal_signal_pending(current);
}

bool nlcall_unmap(struct mm_struct *mm, unsigned long at, size_t len)
{
	bool done;

	if (current->mm == mm)
		return nlcall_give_back(at, len);
	/* Of another process, by a kernel thread. Where it ends, its memory goes anyway. */
	if (!mmget_not_zero(mm))
		return true;
	kthread_use_mm(mm);
	done = nlcall_give_back(at, len);
	kthread_unuse_mm(mm);
	/* The last one waits for what the process had begun. */
	mmput_async(mm);
	return done;
}
