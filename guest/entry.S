/* SPDX-License-Identifier: MIT
 *
 * The two places where control enters an image other than by a C call: the ELF entry point, and the landing of the
 * `syscall` instruction in a VM. Neither may assume that libc is up: there may be no thread-local storage yet.
 */
#define AT_PPCE 0x50504345 /* ppce/abi.h; this file cannot include C (os.h checks that the two agree) */
#define SYSCALL_STACK 136

	.text

/* The ELF entry: (%rsp) is argc, then argv, NULL, envp, NULL, auxv. Finds AT_PPCE, keeps its value in los_io and goes on
 * to libc with every register that libc reads (rsp, rdx) untouched. Under plain Linux there is no such entry. */
	.globl	_ppce_start
	.type	_ppce_start, @function
_ppce_start:
	mov	(%rsp), %rax
	lea	16(%rsp,%rax,8), %rcx
1:	mov	(%rcx), %rsi
	add	$8, %rcx
	test	%rsi, %rsi
	jnz	1b
2:	mov	(%rcx), %rsi
	test	%rsi, %rsi
	jz	4f
	cmp	$AT_PPCE, %rsi
	je	3f
	add	$16, %rcx
	jmp	2b
3:	mov	8(%rcx), %rsi
	mov	%rsi, los_io(%rip)
4:	jmp	_start
	.size	_ppce_start, . - _ppce_start

/* `syscall` in a VM. The host's stub has come here by iretq: rcx = return address, r11 = flags, rsp = the program's
 * minus SYSCALL_STACK (its red zone of 128 bytes and one word). The kernel's contract is kept: only rax, rcx and r11
 * change. SSE and AVX registers are not saved, because los_dispatch() is compiled without them. */
	.globl	ppce_syscall_entry
	.type	ppce_syscall_entry, @function
ppce_syscall_entry:
	push	%rcx
	push	%rbp
	push	%r9			/* from here up: the six arguments, as an array in memory */
	push	%r8
	push	%r10
	push	%rdx
	push	%rsi
	push	%rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	cld
	mov	%rax, %rdi
	mov	%rbp, %rsi
	call	los_dispatch
	mov	%rbp, %rsp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r10
	pop	%r8
	pop	%r9
	pop	%rbp
	pop	%rcx
	lea	SYSCALL_STACK(%rsp), %rsp
	jmp	*%rcx
	.size	ppce_syscall_entry, . - ppce_syscall_entry

	.section .note.GNU-stack, "", @progbits
