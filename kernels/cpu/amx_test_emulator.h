// The instructions of kernels_amx.cc on a CPU that has none of them: while one of these lives, what SIGILL
// stops at is decoded, done on tiles in memory as Intel's manual says, and stepped over. So the machine code
// itself runs in tests everywhere that AVX-512 is. A microsecond or two each. One thread, one at a time; any
// other instruction, and one against its tiles' configuration, ends the process.
#pragma once

#include <signal.h>

#include <cstdint>

namespace quire::kernels::cpu {

class AmxEmulator {
 public:
  AmxEmulator();
  ~AmxEmulator();
  AmxEmulator(const AmxEmulator&) = delete;
  AmxEmulator& operator=(const AmxEmulator&) = delete;

  int64_t instructions() const;  // done by all of them so far
  bool released() const;         // no tiles are in use

 private:
  struct sigaction former_;
};

}  // namespace quire::kernels::cpu
