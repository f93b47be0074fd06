// quire-bench-generate: closed-loop load on one worker group, in one session as a gateway would have it. Each
// stream is one request a round; random prompt ids, sampling as asked, end-of-sequence ignored.
// Prints one JSON line: output tokens/s between the first and the last token of the streams (decode), prompt
// tokens/s up to the first token (prefill), both medians over the rounds; the time between two tokens of a
// stream, median and 99th percentile, of all rounds together. With --beside-prompts, prompts of
// --beside-tokens tokens come one after another while the streams run, and the line says how many tokens/s of
// them were read.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/core/files.h"
#include "base/core/ids.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "base/net/grpc.h"
#include "proto/inference.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Config {
  std::string address, pepper_file, structural_tag;
  int64_t group_epoch = 0, streams = 1, rounds = 3, prompt_tokens = 128, max_tokens = 128, vocabulary = 1000;
  int64_t top_k = 0, beside_prompts = 0, beside_tokens = 2000;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;

  void Declare(quire::Options& options);
};

void Config::Declare(quire::Options& options) {
  options.Add("address", &address, "HOST:PORT", "of rank 0");
  options.Require("address");
  options.Add("pepper-file", &pepper_file, "FILE", "of the group's coordinator, where it has one");
  options.Add("group-epoch", &group_epoch, "EPOCH", "of the group");
  options.Add("streams", &streams, "N", "at once", {1, 1024});
  options.Add("rounds", &rounds, "N", "each stream sends one request a round", {1, 1000});
  options.Add("prompt-tokens", &prompt_tokens, "TOKENS", "of each request", {1, 1 << 20});
  options.Add("max-tokens", &max_tokens, "TOKENS", "of each answer", {1, 1 << 20});
  options.Add("beside-prompts", &beside_prompts, "N", "prompts that come while the streams run", {0, 1000});
  options.Add("beside-tokens", &beside_tokens, "TOKENS", "of each of those", {1, 1 << 20});
  options.Add("vocabulary", &vocabulary, "IDS", "prompt ids are below it", {1, 1 << 24});
  options.Add("temperature", &temperature, "T", "0 = greedy");
  options.Add("top-k", &top_k, "K", "0 = all", {0, 1 << 24});
  options.Add("top-p", &top_p, "P", "1 = all");
  options.Add("min-p", &min_p, "P", "0 = all");
  options.Add("repetition-penalty", &repetition_penalty, "R", "1 = none");
  options.Add("structural-tag", &structural_tag, "JSON",
              "each answer's grammar, which is not whole before max-tokens");
}

struct Lengths {
  int64_t prompt = 0, answer = 0;
};

struct RequestTimes {
  Lengths lengths;
  Clock::time_point sent;
  std::vector<Clock::time_point> tokens;  // when each came
  bool ok = false;
};

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

quire::v1::GenerateRequest MakeRequest(const Config& config, Lengths lengths, uint64_t seed) {
  std::mt19937_64 random(seed);
  quire::v1::GenerateRequest request;
  request.set_request_id(quire::RequestId::Random().ToBytes());
  for (int64_t i = 0; i < lengths.prompt; ++i) {
    request.add_prompt_ids(static_cast<int32_t>(random() % static_cast<uint64_t>(config.vocabulary)));
  }
  request.add_choices();
  if (!config.structural_tag.empty()) {
    request.mutable_grammar()->set_kind("structural_tag");
    request.mutable_grammar()->set_source(config.structural_tag);
  }
  quire::v1::Sampling& sampling = *request.mutable_sampling();
  sampling.set_temperature(static_cast<float>(config.temperature));
  sampling.set_top_k(static_cast<int32_t>(config.top_k));
  sampling.set_top_p(static_cast<float>(config.top_p));
  sampling.set_min_p(static_cast<float>(config.min_p));
  sampling.set_repetition_penalty(static_cast<float>(config.repetition_penalty));
  sampling.set_ignore_eos(true);
  request.set_seed(seed);
  request.set_cache_salt("bench");
  request.set_max_tokens(static_cast<uint32_t>(lengths.answer));
  request.set_group_epoch(static_cast<uint64_t>(config.group_epoch));
  return request;
}

// The requests of a round, in one session: the streams at once, and the prompts beside them each when all
// requests before it have had a token. A request's tag is its place from 1.
class Session {
 public:
  Session(grpc::ChannelInterface& channel, const Config& config, uint64_t round)
      : config_(config),
        round_(round),
        stub_(quire::v1::Inference::NewStub(
            std::shared_ptr<grpc::ChannelInterface>(&channel, [](grpc::ChannelInterface*) {}))),
        stream_(stub_->Serve(&context_)) {}

  // Whether every request got all its tokens.
  bool Run() {
    std::vector<quire::v1::GatewayFrame> frames;
    for (int64_t i = 0; i < config_.streams; ++i) {
      frames.push_back(MakeFrame({config_.prompt_tokens, config_.max_tokens}));
    }
    for (size_t i = 0; i < frames.size(); ++i) Send(frames[i], requests_[i]);
    if (config_.beside_prompts == 0) stream_->WritesDone();
    for (quire::v1::GroupFrame frame; stream_->Read(&frame);) {
      const auto now = Clock::now();
      for (const quire::v1::RequestUpdate& update : frame.updates()) Take(update, now);
    }
    return stream_->Finish().ok() && std::ranges::all_of(requests_, &RequestTimes::ok);
  }

  std::span<const RequestTimes> streams() const {
    return std::span(requests_).first(static_cast<size_t>(config_.streams));
  }
  std::span<const RequestTimes> beside() const {
    return std::span(requests_).subspan(static_cast<size_t>(config_.streams));
  }

 private:
  quire::v1::GatewayFrame MakeFrame(Lengths lengths) {
    const uint64_t seed = round_ * 10'000 + requests_.size();
    requests_.emplace_back().lengths = lengths;
    quire::v1::GatewayFrame frame;
    quire::v1::Submit& submit = *frame.mutable_submit();
    submit.set_tag(requests_.size());
    submit.set_credit(static_cast<uint32_t>(lengths.answer));
    *submit.mutable_request() = MakeRequest(config_, lengths, seed);
    return frame;
  }

  void Send(const quire::v1::GatewayFrame& frame, RequestTimes& request) {
    request.sent = Clock::now();
    stream_->Write(frame);
  }

  void Take(const quire::v1::RequestUpdate& update, Clock::time_point now) {
    RequestTimes& request = requests_.at(update.tag() - 1);
    if (request.tokens.empty() && update.tokens().ids_size() > 0) ++begun_;
    request.tokens.insert(request.tokens.end(), update.tokens().ids_size(), now);
    if (update.has_ended()) {
      request.ok = update.ended().code() == 0 && std::ssize(request.tokens) == request.lengths.answer;
      if (!request.ok) return context_.TryCancel();
    }
    const int64_t sent = std::ssize(requests_), all = config_.streams + config_.beside_prompts;
    if (begun_ < sent || sent == all) return;
    const quire::v1::GatewayFrame next = MakeFrame({config_.beside_tokens, 1});
    Send(next, requests_.back());
    if (std::ssize(requests_) == all) stream_->WritesDone();
  }

  const Config& config_;
  const uint64_t round_;
  const std::unique_ptr<quire::v1::Inference::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<quire::v1::GatewayFrame, quire::v1::GroupFrame>> stream_;
  std::vector<RequestTimes> requests_;
  int64_t begun_ = 0;  // requests that had a token
};

struct Round {
  double decode_tokens_per_s = 0, prefill_tokens_per_s = 0, beside_tokens_per_s = 0;
  std::vector<double> gaps_ms;  // between two tokens of a stream, once all streams had their first
  bool ok = false;
};

void Summarize(const Config& config, std::span<const RequestTimes> streams, Round& result) {
  auto sent = streams[0].sent, all_first = streams[0].tokens.front(), last = streams[0].tokens.back();
  for (const RequestTimes& t : streams) {
    sent = std::min(sent, t.sent);
    all_first = std::max(all_first, t.tokens.front());  // from here on none of their prompts is read
    last = std::max(last, t.tokens.back());
  }
  int64_t tokens = 0;
  for (const RequestTimes& t : streams) {
    tokens += std::ranges::count_if(t.tokens, [&](Clock::time_point at) { return at > all_first; });
    for (size_t i = 1; i < t.tokens.size(); ++i) {
      if (t.tokens[i - 1] >= all_first) result.gaps_ms.push_back(1e3 * Seconds(t.tokens[i - 1], t.tokens[i]));
    }
  }
  result.prefill_tokens_per_s =
      static_cast<double>(config.prompt_tokens * config.streams) / Seconds(sent, all_first);
  result.decode_tokens_per_s = static_cast<double>(tokens) / Seconds(all_first, last);
}

Round RunRound(grpc::ChannelInterface& channel, const Config& config, uint64_t round) {
  Session session(channel, config, round);
  Round result;
  result.ok = session.Run();
  if (!result.ok) return result;
  Summarize(config, session.streams(), result);
  if (const auto beside = session.beside(); !beside.empty()) {
    result.beside_tokens_per_s = static_cast<double>(config.beside_prompts * config.beside_tokens) /
                                 Seconds(beside.front().sent, beside.back().tokens.back());
  }
  return result;
}

double Quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<ptrdiff_t>(static_cast<double>(values.size() - 1) * part);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// Each figure of all rounds.
struct Figures {
  std::vector<double> decode, prefill, beside, gaps_ms;

  void Add(const Round& round) {
    decode.push_back(round.decode_tokens_per_s);
    prefill.push_back(round.prefill_tokens_per_s);
    beside.push_back(round.beside_tokens_per_s);
    gaps_ms.insert(gaps_ms.end(), round.gaps_ms.begin(), round.gaps_ms.end());
  }
  void Print(const Config& config) const {
    std::printf(
        "{\"streams\":%ld,\"decode_tokens_per_s\":%.1f,\"prefill_tokens_per_s\":%.1f,"
        "\"beside_tokens_per_s\":%.1f,\"gap_p50_ms\":%.2f,\"gap_p99_ms\":%.2f}\n",
        static_cast<long>(config.streams), config.max_tokens > 1 ? Quantile(decode, 0.5) : 0.0,
        Quantile(prefill, 0.5), Quantile(beside, 0.5), Quantile(gaps_ms, 0.5), Quantile(gaps_ms, 0.99));
  }
};

}  // namespace

int main(int argc, char** argv) {
  Config config;
  quire::Options options("quire-bench-generate", "Closed-loop load on one worker group.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::ShownSecret secret;
  if (!config.pepper_file.empty()) {
    const auto pepper = quire::ReadWholeFile(config.pepper_file);
    if (!pepper.ok()) {
      std::fprintf(stderr, "quire-bench-generate: %s\n", quire::MessageOf(pepper.status()).c_str());
      return 1;
    }
    secret = quire::SessionSecret(*pepper);
  }
  auto channel = quire::MakeGrpcChannel(config.address, {}, secret);
  if (!channel.ok()) return 1;
  Figures figures;
  const uint64_t first_round = std::random_device()();  // new prompts each time, or the prefix cache answers
  for (int64_t round = 0; round <= config.rounds; ++round) {
    const Round result = RunRound(**channel, config, first_round + static_cast<uint64_t>(round));
    if (!result.ok) {
      std::fprintf(stderr, "quire-bench-generate: a stream did not finish\n");
      return 1;
    }
    if (round > 0) figures.Add(result);  // the first one warms up
  }
  figures.Print(config);
  return 0;
}
