#include "worker/grammar/xgrammar_compiler.h"

#include <dlpack/dlpack.h>
#include <time.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/grammar/follow_time.h"
#include "worker/grammar/structural_tag.h"

// Its build leaves these two to us.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int lineno, const std::string& message);
void LogMessageImpl(const std::string& file, int lineno, int level, const std::string& message);

void LogFatalImpl(const std::string&, int, const std::string& message) { throw std::runtime_error(message); }
void LogMessageImpl(const std::string&, int, int, const std::string&) {}

}  // namespace xgrammar

namespace quire::worker {
namespace {

// Of the walk that a grammar is tried by.
constexpr int kTrialTokens = 48;
// Beside a source in xgrammar's cache, of which it has two copies.
constexpr int64_t kCachedBytes = 1024;
constexpr size_t kMaxReasonBytes = 300;

int64_t ThreadCpuUs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

// It may hold anything that a client wrote.
absl::Status Refused(std::string_view what) {
  std::string text(what.substr(0, kMaxReasonBytes));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return absl::InvalidArgumentError(absl::StrCat("grammar: ", text));
}

// Within it.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  throw std::runtime_error(std::string(status.message().substr(std::string_view("grammar: ").size())));
}

// The one edge over which xgrammar is called.
template <typename Body>
auto Guarded(const Body& body) -> absl::StatusOr<decltype(body())> {
  try {
    return body();
  } catch (const std::exception& error) {
    return Refused(error.what());
  } catch (...) {
    return Refused("it could not be compiled");
  }
}

using IdMask = std::vector<uint32_t>;

size_t WordsFor(int64_t vocab) { return static_cast<size_t>((vocab + 31) / 32); }

class XGrammarState final : public GrammarState {
 public:
  XGrammarState(const xgrammar::CompiledGrammar& grammar, std::shared_ptr<const IdMask> known,
                int64_t free_us)
      : matcher_(grammar, std::nullopt, /*terminate_without_stop_token=*/true),
        known_(std::move(known)),
        time_(free_us) {}

  bool Accept(TokenId id) override {
    const auto word = static_cast<size_t>(id / 32);
    if (id < 0 || word >= known_->size() || ((*known_)[word] >> (id % 32) & 1) == 0) return false;
    time_.NextToken();
    return Timed([&] { return matcher_.AcceptToken(id); });
  }

  bool FillMask(std::span<uint32_t> mask) override {
    auto length = static_cast<int64_t>(known_->size());
    int64_t stride = 1;
    DLTensor tensor{.data = mask.data(),
                    .device = {kDLCPU, 0},
                    .ndim = 1,
                    .dtype = {kDLInt, 32, 1},
                    .shape = &length,
                    .strides = &stride,
                    .byte_offset = 0};
    Timed([&] { return matcher_.FillNextTokenBitmask(&tensor); });
    for (size_t i = 0; i < known_->size(); ++i) mask[i] &= (*known_)[i];
    return true;
  }

  bool CanStop() const override { return matcher_.IsCompleted(); }
  absl::Status status() const override { return status_; }
  int64_t spent_us() const override { return time_.spent_us(); }

 private:
  template <typename Call>
  bool Timed(const Call& call) {
    if (!status_.ok()) return false;
    const int64_t started_us = ThreadCpuUs();
    const absl::StatusOr<bool> result = Guarded(call);
    status_ = result.status();
    if (!time_.Spend(ThreadCpuUs() - started_us)) {
      status_ = absl::InvalidArgumentError(
          "grammar: it takes too long to follow: simplify it (nested repetitions and ambiguous rules do)");
    }
    return result.ok() && *result;
  }

  xgrammar::GrammarMatcher matcher_;
  const std::shared_ptr<const IdMask> known_;
  FollowTime time_;
  absl::Status status_;
};

class XGrammar final : public CompiledGrammar {
 public:
  XGrammar(xgrammar::CompiledGrammar grammar, IdMask known, int64_t vocab)
      : grammar_(std::move(grammar)),
        known_(std::make_shared<const IdMask>(std::move(known))),
        vocab_(vocab),
        bytes_(grammar_.MemorySizeBytes() + known_->size() * sizeof(uint32_t)) {}

  std::unique_ptr<GrammarState> Start() const override {
    return std::make_unique<XGrammarState>(grammar_, known_, FollowTime::kFreeUs);
  }
  std::unique_ptr<GrammarState> StartTrial() const {
    return std::make_unique<XGrammarState>(grammar_, known_, FollowTime::kTrialFreeUs);
  }
  int64_t vocab() const override { return vocab_; }
  size_t bytes() const override { return bytes_; }

 private:
  const xgrammar::CompiledGrammar grammar_;
  const std::shared_ptr<const IdMask> known_;  // the ids that may come at all
  const int64_t vocab_;
  const size_t bytes_;
};

std::vector<TokenId> IdsIn(const IdMask& mask) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < mask.size(); ++i) {
    for (uint32_t word = mask[i]; word != 0; word &= word - 1)
      ids.push_back(static_cast<TokenId>(32 * i) + std::countr_zero(word));
  }
  return ids;
}

// Follows it along a path of its own: what is slow there would hold up every stream of the group.
absl::Status Try(const XGrammar& grammar) {
  const std::unique_ptr<GrammarState> state = grammar.StartTrial();
  IdMask mask(WordsFor(grammar.vocab()));
  uint64_t noise = 1;
  for (int i = 0; i < kTrialTokens && state->status().ok(); ++i) {
    state->FillMask(mask);
    const std::vector<TokenId> ids = IdsIn(mask);
    if (ids.empty()) break;
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    state->Accept(ids[(noise >> 33) % ids.size()]);
  }
  return state->status();
}

// A special token is no text: bytes that are part of none, its own in case a grammar names it by id.
xgrammar::TokenizerInfo InfoOf(const Vocabulary& vocabulary) {
  std::vector<std::string> bytes = vocabulary.bytes;
  for (const TokenId id : vocabulary.special) bytes[id] = absl::StrCat("\xff", id, "\xff");
  return xgrammar::TokenizerInfo(bytes, xgrammar::VocabType::RAW, static_cast<int>(vocabulary.size),
                                 std::vector<int32_t>{});
}

IdMask TextIds(const Vocabulary& vocabulary) {
  IdMask ids(WordsFor(vocabulary.size));
  for (size_t id = 0; id < vocabulary.bytes.size(); ++id) {
    if (!vocabulary.bytes[id].empty()) ids[id / 32] |= 1u << (id % 32);
  }
  for (const TokenId id : vocabulary.special) ids[id / 32] &= ~(1u << (id % 32));
  return ids;
}

}  // namespace

struct XGrammarCompiler::Impl {
  using Compiler = std::shared_ptr<xgrammar::GrammarCompiler>;

  Impl(const Vocabulary& vocabulary, int64_t cache_bytes)
      : info(InfoOf(vocabulary)),
        cache_bytes(cache_bytes),
        compiler(NewCompiler()),
        special(vocabulary.special),
        text(TextIds(vocabulary)),
        vocab(vocabulary.size) {}

  // Special ids come only where they are named.
  IdMask Known(const std::vector<TokenId>& named) const {
    IdMask ids = text;
    for (const TokenId id : named) {
      if (std::ranges::binary_search(special, id)) ids[id / 32] |= 1u << (id % 32);
    }
    return ids;
  }

  xgrammar::CompiledGrammar Compile(const StructuralTag& tag, const std::string& source) {
    for (const std::string& within : tag.grammars) {
      Require(SizeOf(xgrammar::Grammar::FromEBNF(within).ToString()).CheckWithin());
    }
    const auto converted = xgrammar::Grammar::FromStructuralTag(source, info);
    if (const auto* error = std::get_if<1>(&converted)) {
      throw std::runtime_error(std::visit([](const auto& one) { return std::string(one.what()); }, *error));
    }
    Require(SizeOf(std::get<0>(converted).ToString()).Check());
    const Compiler mine = Current(source.size());
    const absl::Cleanup bounds = [this] { Current(0); };  // a value may be larger than all of them may be
    return mine->CompileStructuralTag(source);  // a grammar it would write and read as EBNF, not always alike
  }

  // It keeps all sources that it ever saw, those that it refused too, and its values. Only what grammars have
  // in common is wanted, so a new one takes its place where it has too much.
  Compiler Current(size_t source_bytes) ABSL_LOCKS_EXCLUDED(mutex) {
    Compiler old;  // destroyed after the lock is gone
    MutexLock lock(&mutex);
    const auto bytes = source_bytes > 0 ? 2 * static_cast<int64_t>(source_bytes) + kCachedBytes : 0;
    if (sources + bytes + compiler->GetCacheSizeBytes() > cache_bytes) {
      old = std::exchange(compiler, NewCompiler());
      sources = 0;
    }
    sources += bytes;
    return compiler;
  }

  Compiler NewCompiler() const {
    return std::make_shared<xgrammar::GrammarCompiler>(info, /*max_threads=*/1, /*cache_enabled=*/true,
                                                       cache_bytes);
  }

  const xgrammar::TokenizerInfo info;
  const int64_t cache_bytes;
  Mutex mutex;
  Compiler compiler ABSL_GUARDED_BY(mutex);    // locks by itself
  int64_t sources ABSL_GUARDED_BY(mutex) = 0;  // bytes of those it has
  const std::vector<TokenId> special;
  const IdMask text;
  const int64_t vocab;
};

XGrammarCompiler::XGrammarCompiler(const absl::StatusOr<Vocabulary>& vocabulary, int64_t cache_bytes) {
  if (vocabulary.ok()) {
    auto impl = Guarded([&] { return std::make_unique<Impl>(*vocabulary, cache_bytes); });
    broken_ = impl.status();
    if (impl.ok()) impl_ = *std::move(impl);
  } else {
    broken_ = vocabulary.status();
  }
  if (broken_.ok()) return;
  broken_ = absl::InvalidArgumentError(
      absl::StrCat("grammar: this model's tokenizer can't be followed: ", MessageOf(broken_)));
}

XGrammarCompiler::~XGrammarCompiler() = default;

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> XGrammarCompiler::Compile(const std::string& kind,
                                                                                 const std::string& source,
                                                                                 int64_t vocab) const {
  if (kind != kKind) {
    return absl::InvalidArgumentError("grammar: its kind is unknown: this group has \"structural_tag\"");
  }
  QUIRE_RETURN_IF_ERROR(broken_);
  if (vocab != impl_->vocab) return absl::InternalError("grammar: the model's vocabulary is another one");
  QUIRE_ASSIGN_OR_RETURN(const StructuralTag tag, ReadStructuralTag(source));
  QUIRE_ASSIGN_OR_RETURN(xgrammar::CompiledGrammar compiled,
                         Guarded([&] { return impl_->Compile(tag, source); }));
  auto grammar = std::make_shared<XGrammar>(std::move(compiled), impl_->Known(tag.ids), vocab);
  if (grammar->bytes() > kMaxGrammarBytes) {
    return absl::InvalidArgumentError(absl::StrCat("grammar: compiled it has ", grammar->bytes() >> 20,
                                                   " MiB, more than ", kMaxGrammarBytes >> 20,
                                                   ": simplify it"));
  }
  QUIRE_RETURN_IF_ERROR(Try(*grammar));
  return grammar;
}

}  // namespace quire::worker
