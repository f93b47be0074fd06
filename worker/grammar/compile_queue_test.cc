// Who compiles what, when, and for whom: over a compiler that waits until it is told to go on.
#include "worker/grammar/compile_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

using testing::HasSubstr;

// Counts by source, and compiles none before it is let.
class HeldCompiler final : public GrammarCompiler {
 public:
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const std::string& kind,
                                                                 const std::string& source,
                                                                 int64_t vocab) const override {
    {
      MutexLock lock(&mutex_);
      ++counts_[source];
      ++begun_;
    }
    let_.WaitForNotification();
    return ScriptedGrammarCompiler().Compile(kind, source, vocab);
  }

  void Let() { let_.Notify(); }
  int count(const std::string& source) const {
    MutexLock lock(&mutex_);
    return counts_[source];
  }
  void AwaitBegun(int count) const {
    MutexLock lock(&mutex_);
    const auto begun = [this, count]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return begun_ >= count; };
    mutex_.Await(absl::Condition(&begun));
  }

 private:
  mutable Mutex mutex_;
  mutable std::map<std::string, int> counts_ ABSL_GUARDED_BY(mutex_);
  mutable int begun_ ABSL_GUARDED_BY(mutex_) = 0;
  Notification let_;
};

class Answers {
 public:
  CompileQueue::Done Next() {
    auto answer = std::make_shared<Answer>();
    all_.push_back(answer);
    return [answer](CompileQueue::Result result) {
      answer->result = std::move(result);
      answer->came.Notify();  // twice is an error that it finds
    };
  }
  const CompileQueue::Result& Await(size_t which) {
    all_.at(which)->came.WaitForNotification();
    return all_[which]->result;
  }
  bool came(size_t which) const { return all_.at(which)->came.HasBeenNotified(); }

 private:
  struct Answer {
    Notification came;
    CompileQueue::Result result = absl::UnknownError("none yet");
  };
  std::vector<std::shared_ptr<Answer>> all_;
};

double Value(const Metrics& metrics, const std::string& name) {
  const std::string text = metrics.Text();
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

constexpr int64_t kQueueVocab = 1000;

const CompileQueue::Asker kAsker = std::make_shared<int>(0);  // never gone

TEST(CompileQueue, OneSourceIsCompiledOnceForAll) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileQueue queue(compiler, kQueueVocab, {}, metrics);
  for (int i = 0; i < 3; ++i) queue.Compile("scripted", "5;6", kAsker, answers.Next());
  compiler->Let();
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(answers.Await(i).ok());
  queue.Compile("scripted", "5;6", kAsker, answers.Next());
  ASSERT_TRUE(answers.came(3)) << "at once, where it is kept";
  EXPECT_EQ(*answers.Await(3), *answers.Await(0));
  EXPECT_EQ(compiler->count("5;6"), 1);
  EXPECT_EQ(Value(metrics, "quire_worker_grammar_compiles_total"), 1);
  EXPECT_EQ(Value(metrics, "quire_worker_grammar_hits_total"), 3);
  EXPECT_EQ(Value(metrics, "quire_worker_grammar_failures_total"), 0);
}

TEST(CompileQueue, WhatIsRefusedIsKeptToo) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  compiler->Let();
  Answers answers;
  CompileQueue queue(compiler, kQueueVocab, {}, metrics);
  for (size_t i = 0; i < 2; ++i) {
    queue.Compile("scripted", "x", kAsker, answers.Next());
    EXPECT_EQ(answers.Await(i).status().code(), absl::StatusCode::kInvalidArgument);
    // Another kind's source is another one.
    EXPECT_EQ(compiler->count("x"), 1);
  }
  queue.Compile("other", "x", kAsker, answers.Next());
  EXPECT_THAT(answers.Await(2).status().message(), HasSubstr("other"));
  EXPECT_EQ(compiler->count("x"), 2);
  EXPECT_EQ(Value(metrics, "quire_worker_grammar_failures_total"), 2);
}

// One that takes too long holds up its own thread, and nobody who comes for another source.
TEST(CompileQueue, WhoWaitsTooLongIsToldAndTheCompilationGoesOn) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileLimits limits;
  limits.threads = 1;
  limits.wait = std::chrono::milliseconds(1);
  CompileQueue queue(compiler, kQueueVocab, limits, metrics);
  queue.Compile("scripted", "5", kAsker, answers.Next());
  EXPECT_FALSE(answers.Await(0).ok());
  compiler->AwaitBegun(1);
  queue.Compile("scripted", "5", kAsker, answers.Next());
  queue.Compile("scripted", "6", kAsker, answers.Next());
  // Its own fault, which another group would find again.
  EXPECT_EQ(answers.Await(1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(answers.Await(1).status().message(), HasSubstr("simplify"));
  EXPECT_EQ(answers.Await(2).status().code(), absl::StatusCode::kResourceExhausted) << "no thread had it";
  compiler->Let();
  // What was compiled is kept all the same: at the latest once another one, behind it, has been taken up.
  size_t last = 2;
  do {
    queue.Compile("scripted", "5", kAsker, answers.Next());
    answers.Await(++last).status().IgnoreError();
  } while (!answers.Await(last).ok());
  EXPECT_EQ(compiler->count("5"), 1);
  EXPECT_GE(Value(metrics, "quire_worker_grammar_timeouts_total"), 1);
}

TEST(CompileQueue, WhatWaitsIsBounded) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileLimits limits;
  limits.threads = 1;
  limits.max_queued = 2;
  limits.max_waiting = 5;
  CompileQueue queue(compiler, kQueueVocab, limits, metrics);
  queue.Compile("scripted", "1", kAsker, answers.Next());
  compiler->AwaitBegun(1);
  for (const char* source : {"2", "3", "4"}) queue.Compile("scripted", source, kAsker, answers.Next());
  ASSERT_TRUE(answers.came(3));
  EXPECT_EQ(answers.Await(3).status().code(), absl::StatusCode::kResourceExhausted);
  for (int i = 0; i < 3; ++i) queue.Compile("scripted", "2", kAsker, answers.Next());
  EXPECT_TRUE(!answers.came(4) && !answers.came(5) && answers.came(6)) << "five wait";
  compiler->Let();
  for (const size_t which : {0, 1, 2, 4, 5}) EXPECT_TRUE(answers.Await(which).ok());
}

TEST(CompileQueue, WhoWaitsNoMoreHoldsNoPlace) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileLimits limits;
  limits.threads = 1;
  limits.max_queued = 1;
  CompileQueue queue(compiler, kQueueVocab, limits, metrics);
  queue.Compile("scripted", "1", kAsker, answers.Next());
  compiler->AwaitBegun(1);
  CompileQueue::Asker gone = std::make_shared<int>(0);
  queue.Compile("scripted", "2", gone, answers.Next());
  queue.Compile("scripted", "3", kAsker, answers.Next());
  EXPECT_EQ(answers.Await(2).status().code(), absl::StatusCode::kResourceExhausted);
  gone.reset();
  queue.Compile("scripted", "4", kAsker, answers.Next());
  EXPECT_FALSE(answers.came(3)) << "it has the other's place";
  compiler->Let();
  EXPECT_TRUE(answers.Await(3).ok());
  EXPECT_EQ(compiler->count("2"), 0);
}

TEST(CompileQueue, WhoseTimeIsUpHoldsNoPlace) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileLimits limits;
  limits.threads = 1;
  limits.max_queued = 1;
  limits.wait = std::chrono::milliseconds(1);
  CompileQueue queue(compiler, kQueueVocab, limits, metrics);
  queue.Compile("scripted", "1", kAsker, answers.Next());
  compiler->AwaitBegun(1);
  for (size_t i = 1; i < 4; ++i) {
    queue.Compile("scripted", std::to_string(i + 1), kAsker, answers.Next());
    EXPECT_THAT(answers.Await(i).status().message(), HasSubstr("others were compiled")) << i;
  }
  compiler->Let();
}

TEST(CompileQueue, KeepsWhatWasAskedForLast) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  compiler->Let();
  Answers answers;
  CompileLimits limits;
  limits.cache_bytes = 1500;  // of two
  CompileQueue queue(compiler, kQueueVocab, limits, metrics);
  size_t asked = 0;
  const auto ask = [&](const char* source) {
    queue.Compile("scripted", source, kAsker, answers.Next());
    EXPECT_TRUE(answers.Await(asked++).ok());
  };
  for (const char* source : {"1", "2", "1", "3", "1", "2"}) ask(source);
  EXPECT_EQ(compiler->count("1"), 1);
  EXPECT_EQ(compiler->count("2"), 2);
  EXPECT_EQ(compiler->count("3"), 1);
  EXPECT_LE(Value(metrics, "quire_worker_grammar_cache_bytes"), 1500);
  EXPECT_GT(Value(metrics, "quire_worker_grammar_cache_bytes"), 0);
}

TEST(CompileQueue, ItsEndTellsWhoeverWaits) {
  Metrics metrics;
  auto compiler = std::make_shared<HeldCompiler>();
  Answers answers;
  CompileLimits limits;
  limits.threads = 1;
  {
    auto queue = std::make_unique<CompileQueue>(compiler, kQueueVocab, limits, metrics);
    queue->Compile("scripted", "1", kAsker, answers.Next());
    compiler->AwaitBegun(1);
    queue->Compile("scripted", "2", kAsker, answers.Next());
    compiler->Let();
  }
  answers.Await(0).status().IgnoreError();
  const auto code = answers.Await(1).status().code();
  EXPECT_TRUE(code == absl::StatusCode::kAborted || code == absl::StatusCode::kOk) << code;
}

}  // namespace
}  // namespace quire::worker
