// The tiny aarch64 guest of vmserial.qemu.accel: some CPU time, then PSCI SYSTEM_OFF
// (Arm DEN0022: 0x84000008).
//
// as -o tiny.o aarch64.S && objcopy -O binary -j .text tiny.o tiny.bin

        mov     w1, #0x01310000         // 20 million
work:   subs    w1, w1, #1
        b.ne    work
        mov     w0, #0x8
        movk    w0, #0x8400, lsl #16
        hvc     #0
        b       .
