/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The border between target.rs and the kernel's C: other processes.
 */
#ifndef NLCALL_TARGET_H
#define NLCALL_TARGET_H

#include <linux/types.h>

struct cred;
struct mm_struct;
struct pid;
struct task_struct;

/* What the current thread may do to a process. */
enum nlcall_may {
	NLCALL_MAY,
	NLCALL_MAY_NOT,		/* no right to ptrace it */
	NLCALL_MAY_NOT_SECCOMP,	/* one of the two is under seccomp */
	NLCALL_MAY_NOT_COMPAT,	/* its addresses have 32 bits */
	NLCALL_MAY_GONE,	/* it has ended, or is none of user space */
	NLCALL_MAY_LATER,	/* it is executing a program just now */
};

/*
 * A process at one moment. The caller owns a reference of each of the first
 * four; the next three are for comparison only.
 */
struct nlcall_target {
	struct pid *tgid;
	struct task_struct *task;	/* a thread of it: the leader, unless that has ended */
	struct mm_struct *mm;		/* as mmgrab() */
	const struct cred *cred;	/* of @task */
	const void *files;
	const void *fs;
	const void *nsproxy;
	char comm[16];
};

int nlcall_target_init(void);
/* The pid that a descriptor of current names, with a reference; NULL and @err. */
struct pid *nlcall_pidfd(int fd, int *err);
/* Fills in @target where it returns NLCALL_MAY. @pid is of a thread or a process. */
enum nlcall_may nlcall_target_of(struct pid *pid, struct nlcall_target *target);
/* A thread of the process that is not ending, with a reference, or NULL. */
struct task_struct *nlcall_live_thread(struct pid *pid);
/*
 * Gives mapped memory back: of the current process, or by a kernel thread. False
 * where the thread was killed before it could.
 */
bool nlcall_unmap(struct mm_struct *mm, unsigned long at, size_t len);

#endif /* NLCALL_TARGET_H */
