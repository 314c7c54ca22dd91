/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a program sees of signals, threads and children: calls that are
 * interrupted, restarted and cancelled, masks, handlers and their contexts,
 * vfork, and what is refused. It prints the same however its calls are made.
 *
 *	interrupted
 *
 * ends by SIGABRT, which it raises last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static int never[2];		/* a pipe that nobody writes to */
static sigjmp_buf back;
static volatile sig_atomic_t hits;

static void say(const char *what, long ret)
{
	printf("%s: %ld %s\n", what, ret, ret < 0 ? strerrorname_np(errno) : "");
	errno = 0;
}

static void count(int sig)
{
	hits++;
}

static void jump(int sig)
{
	siglongjmp(back, 1);
}

/* Shows where the handler interrupted the program. */
static void show(int sig, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	unsigned char *ip = (void *)at->uc_mcontext.gregs[REG_RIP];

	printf("handler: behind a system call %d, at one %d, result %lld, mask %d%d\n",
	       ip[-2] == 0x0f && ip[-1] == 0x05, ip[0] == 0x0f && ip[1] == 0x05,
	       ip[0] == 0x0f ? 0 : (long long)at->uc_mcontext.gregs[REG_RAX],
	       sigismember(&at->uc_sigmask, SIGUSR1), sigismember(&at->uc_sigmask, SIGUSR2));
}

static void unprotect(int sig, siginfo_t *info, void *context)
{
	write(1, "a fault\n", 8);
	mprotect((void *)((unsigned long)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

static void on(int sig, void *handler, int flags)
{
	struct sigaction action = { .sa_flags = flags };

	action.sa_handler = handler;
	if (sigaction(sig, &action, NULL))
		perror("sigaction");
}

static void alarm_in(int ms)
{
	struct itimerval time = { .it_value.tv_usec = ms * 1000 };

	setitimer(ITIMER_REAL, &time, NULL);
}

static void cleanup(void *what)
{
	printf("cleanup: %s\n", (char *)what);
}

static void *blocks(void *asynchronous)
{
	char c;

	if (asynchronous)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cleanup_push(cleanup, asynchronous ? "asynchronous" : "deferred");
	for (;;)
		read(never[0], &c, 1);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *kills(void *thread)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	/* Its end would wake the other one, too. */
	usleep(100000);
	return NULL;
}

static void cancels(void)
{
	pthread_t thread;
	void *ret;

	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, blocks, i ? "" : NULL);
		usleep(100000);
		pthread_cancel(thread);
		pthread_join(thread, &ret);
		printf("canceled: %d\n", ret == PTHREAD_CANCELED);
	}
}

static void interruptions(void)
{
	struct timespec second = { .tv_sec = 1 }, left = {};
	struct epoll_event event;
	int pipes[2], epoll = epoll_create1(0);
	char c;

	on(SIGALRM, count, 0);
	alarm_in(50);
	say("read", read(never[0], &c, 1));
	on(SIGALRM, count, SA_RESTART);
	pipe(pipes);
	alarm_in(50);
	if (!fork()) {
		usleep(200000);
		write(pipes[1], "y", 1);
		_exit(0);
	}
	say("read, restarted", read(pipes[0], &c, 1));
	say("wait", wait(NULL) > 0);
	alarm_in(50);
	say("poll", poll(NULL, 0, 1000));
	alarm_in(50);
	say("epoll_wait", epoll_wait(epoll, &event, 1, 1000));
	alarm_in(50);
	say("nanosleep", nanosleep(&second, &left));
	printf("left: %d\n", left.tv_sec == 0 && left.tv_nsec > 0);
	alarm_in(50);
	say("pause", pause());
	printf("hits: %d\n", hits);
	close(epoll);
}

static void masks(void)
{
	sigset_t usr1, usr2, old;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	on(SIGUSR1, show, SA_SIGINFO);
	kill(getpid(), SIGUSR1);
	sigpending(&old);
	printf("pending: %d\n", sigismember(&old, SIGUSR1));
	say("sigsuspend", sigsuspend(&usr2));
	sigprocmask(SIG_BLOCK, NULL, &old);
	printf("masked: %d%d\n", sigismember(&old, SIGUSR1), sigismember(&old, SIGUSR2));
	kill(getpid(), SIGUSR1);
	say("ppoll", ppoll(NULL, 0, NULL, &usr2));
	sigfillset(&old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	kill(getpid(), SIGUSR1);
	say("sigwait", sigwaitinfo(&usr1, NULL));
	kill(getpid(), SIGUSR1);
	sigemptyset(&old);
	sigprocmask(SIG_SETMASK, &old, NULL);
	kill(getpid(), SIGUSR1);
}

static void threads(void)
{
	pthread_t self = pthread_self(), thread;
	pthread_attr_t small;
	fd_set set;
	char c;

	pthread_create(&thread, NULL, kills, &self);
	say("read", read(never[0], &c, 1));
	pthread_join(thread, NULL);
	FD_ZERO(&set);
	FD_SET(never[0], &set);
	pthread_create(&thread, NULL, kills, &self);
	say("select", select(never[0] + 1, &set, NULL, NULL, NULL));
	pthread_join(thread, NULL);
	on(SIGUSR1, show, SA_SIGINFO | SA_RESTART);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	pthread_create(&thread, &small, kills, &self);
	pthread_join(thread, NULL);
}

static void jumps(void)
{
	volatile int n = 0;
	char c;

	on(SIGALRM, jump, 0);
	if (!sigsetjmp(back, 1)) {
		alarm_in(50);
		read(never[0], &c, 1);
	}
	while (n < 20) {
		if (!sigsetjmp(back, 1)) {
			alarm_in(3);
			for (;;)
				getppid();
		}
		n++;
	}
	printf("jumps: %d\n", n);
}

static void handlers(void)
{
	struct sigaction old;
	stack_t stack = { .ss_size = 65536 }, now;
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	on(SIGSEGV, unprotect, SA_SIGINFO);
	*page = 1;
	printf("stored: %d\n", *page);
	sigaction(SIGSEGV, NULL, &old);
	printf("handler: %d, flags %x\n", old.sa_sigaction == unprotect, old.sa_flags);
	stack.ss_sp = malloc(stack.ss_size);
	say("sigaltstack", sigaltstack(&stack, NULL));
	getppid();
	sigaltstack(NULL, &now);
	printf("stack: %d, flags %d, %zu bytes\n", now.ss_sp == stack.ss_sp, now.ss_flags, now.ss_size);
	on(SIGUSR2, count, SA_RESETHAND | SA_ONSTACK);
	kill(getpid(), SIGUSR2);
	sigaction(SIGUSR2, NULL, &old);
	printf("reset: %d\n", old.sa_handler == SIG_DFL);
	say("SIGKILL", sigaction(SIGKILL, &old, NULL));
	say("bad action", syscall(SYS_rt_sigaction, SIGUSR2, 8, NULL, 8));
	say("bad old action", syscall(SYS_rt_sigaction, SIGUSR2, NULL, 8, 8));
	say("bad mask size", syscall(SYS_rt_sigaction, SIGUSR2, NULL, NULL, 4));
	on(SIGSYS, count, 0);
	sigaction(SIGSYS, NULL, &old);
	printf("SIGSYS: %d\n", old.sa_handler == count);
	hits = 0;
	kill(getpid(), SIGSYS);
	printf("SIGSYS: %d\n", hits);
}

static void children(void)
{
	char *echo[] = { "echo", "executed", NULL };
	char *nothing[] = { "nothing", NULL };
	int status, child;

	child = vfork();
	if (!child) {
		write(1, "vfork\n", 6);
		execv("/bin/echo", echo);
		_exit(1);
	}
	waitpid(child, &status, 0);
	printf("status: %d\n", status);
	child = vfork();
	if (!child) {
		execv("/nothing", nothing);
		child = vfork();
		if (!child)
			_exit(errno == ENOENT ? 4 : 5);
		waitpid(child, &status, 0);
		_exit(WEXITSTATUS(status) + 1);
	}
	waitpid(child, &status, 0);
	printf("status: %d\n", WEXITSTATUS(status));
	if (!fork()) {
		kill(getpid(), SIGSYS);
		signal(SIGSYS, SIG_DFL);
		kill(getpid(), SIGSYS);
	}
	wait(&status);
	printf("signal: %d\n", WTERMSIG(status));
}

static void descriptors(void)
{
	int pipes[2];

	say("close", close(100000));
	say("close_range", syscall(SYS_close_range, 100, ~0u, 0));
	say("close_range, nothing", syscall(SYS_close_range, 5, 4, 0));
	pipe(pipes);
	close(pipes[0]);
	signal(SIGPIPE, SIG_IGN);
	say("write", write(pipes[1], "x", 1));
	say("no call", syscall(9999));
	say("bad pointer", syscall(SYS_pipe2, 8, 0));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	pipe(never);
	cancels();
	interruptions();
	masks();
	threads();
	jumps();
	handlers();
	children();
	descriptors();
	abort();
}
