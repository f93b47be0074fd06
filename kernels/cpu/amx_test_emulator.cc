#include "kernels/cpu/amx_test_emulator.h"

#include <ucontext.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "kernels/bf16.h"
#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {
namespace {

struct Tile {
  int rows = 0, row_bytes = 0;
  uint8_t bytes[16][64] = {};
};
struct State {
  Tile tiles[8];
  bool configured = false;
  int64_t instructions = 0;
};
State& TheState() {
  static State state;
  return state;
}

void Require(bool holds) {
  if (!holds) std::abort();
}

// A VEX-encoded instruction of map 0F38, W0, 128 bits.
struct Instruction {
  int prefix, opcode, reg, rm, vvvv;  // prefix: 0 none, 2 F3, 3 F2
  bool memory;
  const uint8_t* address;  // base and displacement, of a memory operand
  int64_t index;           // its index register times scale
  int64_t size;
};

class Decoder {
 public:
  explicit Decoder(const greg_t* registers)
      : registers_(registers), start_(reinterpret_cast<const uint8_t*>(registers[REG_RIP])), at_(start_) {}

  Instruction Decode() {
    Require(Byte() == 0xc4);
    const uint8_t first = Byte(), second = Byte();
    x_ = (~first >> 6 & 1) * 8;
    b_ = (~first >> 5 & 1) * 8;
    Require((first & 0x1f) == 2 && (first & 0x80) != 0 && (second & 0x84) == 0);
    Instruction out{};
    out.prefix = second & 3;
    out.vvvv = ~second >> 3 & 15;
    out.opcode = Byte();
    const uint8_t modrm = Byte();
    out.reg = modrm >> 3 & 7;
    out.rm = modrm & 7;
    out.memory = modrm >> 6 != 3;
    if (out.memory) DecodeMemory(modrm >> 6, out);
    out.size = at_ - start_;
    return out;
  }

 private:
  uint8_t Byte() { return *at_++; }
  int64_t Register(int number) const {
    constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return registers_[kOrder[number]];
  }
  void DecodeMemory(int mod, Instruction& out) {
    int64_t base = 0;
    bool no_base = mod == 0 && out.rm == 5;
    Require(!no_base);  // relative to RIP: not by us
    if (out.rm == 4) {
      const uint8_t sib = Byte();
      const int index = (sib >> 3 & 7) + x_;
      if (index != 4) out.index = Register(index) << (sib >> 6);
      no_base = mod == 0 && (sib & 7) == 5;
      if (!no_base) base = Register((sib & 7) + b_);
    } else {
      base = Register(out.rm + b_);
    }
    int32_t displacement = 0;
    if (mod == 1) {
      displacement = static_cast<int8_t>(Byte());
    } else if (mod == 2 || no_base) {
      std::memcpy(&displacement, at_, sizeof displacement);
      at_ += sizeof displacement;
    }
    out.address = reinterpret_cast<const uint8_t*>(base + displacement);
  }

  const greg_t* registers_;
  const uint8_t *start_, *at_;
  int x_ = 0, b_ = 0;
};

void Configure(const uint8_t* config) {
  State& state = TheState();
  Require(config[0] == 1 && config[1] == 0);
  for (int i = 0; i < 64; ++i) {
    const bool reserved = (i > 1 && i < 16) || (i >= 32 && i < 48) || i >= 56;
    Require(!reserved || config[i] == 0);
  }
  for (int i = 0; i < 8; ++i) {
    const int row_bytes = config[16 + 2 * i] + 256 * config[17 + 2 * i], rows = config[48 + i];
    Require(rows <= 16 && row_bytes <= 64 && (rows == 0) == (row_bytes == 0));
    state.tiles[i] = {};
    state.tiles[i].rows = rows;
    state.tiles[i].row_bytes = row_bytes;
  }
  state.configured = true;
}

float& Sum(Tile& tile, int row, int lane) { return reinterpret_cast<float*>(tile.bytes[row])[lane]; }
float Value(const Tile& tile, int row, int element) {
  uint16_t bits;
  std::memcpy(&bits, tile.bytes[row] + 2 * element, sizeof bits);
  return Bf16ToFloat(bits);
}

void Dot(Tile& sums, const Tile& a, const Tile& b) {
  Require(sums.rows == a.rows && sums.row_bytes == b.row_bytes && a.row_bytes == 4 * b.rows);
  for (int row = 0; row < sums.rows; ++row) {
    for (int lane = 0; lane < sums.row_bytes / 4; ++lane) {
      float temp[2] = {0, 0};
      for (int k = 0; k < b.rows; ++k) {
        for (int i : {0, 1}) temp[i] = std::fma(Value(a, row, 2 * k + i), Value(b, k, 2 * lane + i), temp[i]);
      }
      volatile const float both = temp[0] + temp[1];
      Sum(sums, row, lane) += both;
    }
  }
}

void Do(const Instruction& it) {
  constexpr int kNone = 0, kF3 = 2, kF2 = 3;
  State& state = TheState();
  ++state.instructions;
  if (it.opcode == 0x49 && it.prefix == kNone && it.reg == 0) {
    if (it.memory) return Configure(it.address);
    state.configured = false;
    return;
  }
  Require(state.configured);
  Tile& tile = state.tiles[it.reg];
  if (it.opcode == 0x49 && it.prefix == kF2 && !it.memory) {
    std::memset(tile.bytes, 0, sizeof tile.bytes);
  } else if (it.opcode == 0x4b && it.memory && it.prefix == kF2) {
    std::memset(tile.bytes, 0, sizeof tile.bytes);
    for (int row = 0; row < tile.rows; ++row) {
      std::memcpy(tile.bytes[row], it.address + row * it.index, tile.row_bytes);
    }
  } else if (it.opcode == 0x4b && it.memory && it.prefix == kF3) {
    for (int row = 0; row < tile.rows; ++row) {
      std::memcpy(const_cast<uint8_t*>(it.address) + row * it.index, tile.bytes[row], tile.row_bytes);
    }
  } else {
    Require(it.opcode == 0x5c && it.prefix == kF3 && !it.memory);
    Dot(tile, state.tiles[it.rm], state.tiles[it.vvvv]);
  }
}

void OnIllegalInstruction(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const FlushDenormals flush;  // a handler starts with MXCSR as a process does
  const Instruction instruction = Decoder(registers).Decode();
  Do(instruction);
  registers[REG_RIP] += instruction.size;
}

}  // namespace

AmxEmulator::AmxEmulator() {
  struct sigaction action = {};
  action.sa_sigaction = OnIllegalInstruction;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &former_);
}

AmxEmulator::~AmxEmulator() { sigaction(SIGILL, &former_, nullptr); }

int64_t AmxEmulator::instructions() const { return TheState().instructions; }
bool AmxEmulator::released() const { return !TheState().configured; }

}  // namespace quire::kernels::cpu
