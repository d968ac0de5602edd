# The tiny x86 guest of vmserial.qemu.accel: what an operating system needs at once
# (RAM, long mode, paging, some CPU time, interrupts, a halt that a timer ends), then
# the end of QEMU through isa-debug-exit.  A few instructions would prove nothing:
# there are hosts whose KVM emulates each one and never gets through a kernel's start.
#
# as --64 -o tiny.o x86_64.S && objcopy -O binary -j .text tiny.o tiny.bin
# The image is this at the end of a 64 KiB ROM; it runs at 0xf000 of the segment.

        .set    BASE, 0x8000            # where it runs, in RAM
        .set    ROM, 0xfe00             # where it starts in the ROM's segment
        .text
        .code16
start:                                  # copy ourselves to RAM and go on there
        cli
        cld
        xorw    %ax, %ax
        movw    %ax, %es
        movw    $ROM, %si
        movw    $BASE, %di
        movw    $0x1f0, %cx
        rep movsb %cs:(%si), %es:(%di)
        ljmp    $0, $BASE + (in_ram - start)
in_ram:
        movw    %ax, %ds
        lgdtl   BASE + (gdtr - start)
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $0x08, $BASE + (protected - start)

        .code32
protected:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $0x1000, %edi           # page tables at 0x1000, IDT at 0x4000
        xorl    %eax, %eax
        movl    $0x1000, %ecx
        rep stosl
        movl    $0x2003, 0x1000         # PML4[0] -> 0x2000
        movl    $0x3003, 0x2000         # PDPT[0] -> 0x3000
        movl    $0x83, 0x3000           # PD[0]: the first 2 MiB, identical
        movl    $0xfee00093, 0x3008     # PD[1]: the local APIC, at 2 MiB
        movl    %cr4, %eax
        orl     $0x20, %eax             # PAE
        movl    %eax, %cr4
        movl    $0x1000, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       # EFER.LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax       # PG
        movl    %eax, %cr0
        ljmpl   $0x18, $BASE + (long_mode - start)

        .code64
long_mode:
        movl    $0x7000, %esp
        movl    $0x00180000 + BASE + (tick - start), 0x4200     # IDT[0x20]
        movl    $0x00008e00, 0x4204
        lidt    BASE + (idtr - start)
        movl    $0x1ff, 0x2000f0        # local APIC: on; LINT0 takes the PIC's interrupts
        movl    $0x700, 0x200350
        movb    $0x11, %al              # the first PIC: vectors from 0x20, only IRQ 0
        outb    %al, $0x20
        movb    $0x20, %al
        outb    %al, $0x21
        movb    $0x04, %al
        outb    %al, $0x21
        movb    $0x01, %al
        outb    %al, $0x21
        movb    $0xfe, %al
        outb    %al, $0x21
        movb    $0x34, %al              # the timer: every 1.0 ms
        outb    %al, $0x43
        movb    $0xa9, %al
        outb    %al, $0x40
        movb    $0x04, %al
        outb    %al, $0x40
        movl    $20000000, %ecx         # work: 10 ms of a CPU, 25 s of an instruction emulator
work:   decl    %ecx
        jnz     work
        movl    $3, %ebx                # ticks to live through
        sti
halt:   hlt
        jmp     halt
tick:
        movb    $0x20, %al              # end of interrupt
        outb    %al, $0x20
        decl    %ebx
        jz      done
        iretq
done:
        movb    $0x2a, %al
        outb    %al, $0xf4
        jmp     done

        .balign 8, 0xcc                 # not the no-ops of whichever assembler it is
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 0x08: 32-bit code
        .quad   0x00cf93000000ffff      # 0x10: data
        .quad   0x00af9b000000ffff      # 0x18: 64-bit code
gdtr:   .word   31
        .long   BASE + (gdt - start)
idtr:   .word   0x20f
        .quad   0x4000
        .org    0x1f0
        .code16                         # the reset vector
reset:  jmp     start
        .org    0x200, 0x90
