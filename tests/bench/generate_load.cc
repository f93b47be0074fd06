// quire-bench-generate: closed-loop load on one worker group, in one session as a gateway would have it. Each
// stream is one request a round; random prompt ids, sampling as asked, end-of-sequence ignored.
// Prints one JSON line: output tokens/s between the first and the last token of the streams (decode), prompt
// tokens/s up to the first token (prefill), both medians over the rounds.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "base/core/ids.h"
#include "base/core/options.h"
#include "base/net/grpc.h"
#include "proto/inference.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Config {
  std::string address;
  int64_t group_epoch = 0, streams = 1, rounds = 3, prompt_tokens = 128, max_tokens = 128, vocabulary = 1000;
  int64_t top_k = 0;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;

  void Declare(quire::Options& options);
};

void Config::Declare(quire::Options& options) {
  options.Add("address", &address, "HOST:PORT", "of rank 0");
  options.Require("address");
  options.Add("group-epoch", &group_epoch, "EPOCH", "of the group");
  options.Add("streams", &streams, "N", "at once", {1, 1024});
  options.Add("rounds", &rounds, "N", "each stream sends one request a round", {1, 1000});
  options.Add("prompt-tokens", &prompt_tokens, "TOKENS", "of each request", {1, 1 << 20});
  options.Add("max-tokens", &max_tokens, "TOKENS", "of each answer", {1, 1 << 20});
  options.Add("vocabulary", &vocabulary, "IDS", "prompt ids are below it", {1, 1 << 24});
  options.Add("temperature", &temperature, "T", "0 = greedy");
  options.Add("top-k", &top_k, "K", "0 = all", {0, 1 << 24});
  options.Add("top-p", &top_p, "P", "1 = all");
  options.Add("min-p", &min_p, "P", "0 = all");
  options.Add("repetition-penalty", &repetition_penalty, "R", "1 = none");
}

struct StreamTimes {
  Clock::time_point sent;
  std::vector<Clock::time_point> tokens;  // when each came
  bool ok = false;
};

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

quire::v1::GenerateRequest MakeRequest(const Config& config, uint64_t seed) {
  std::mt19937_64 random(seed);
  quire::v1::GenerateRequest request;
  request.set_request_id(quire::RequestId::Random().ToBytes());
  for (int64_t i = 0; i < config.prompt_tokens; ++i) {
    request.add_prompt_ids(static_cast<int32_t>(random() % static_cast<uint64_t>(config.vocabulary)));
  }
  request.add_choices();
  quire::v1::Sampling& sampling = *request.mutable_sampling();
  sampling.set_temperature(static_cast<float>(config.temperature));
  sampling.set_top_k(static_cast<int32_t>(config.top_k));
  sampling.set_top_p(static_cast<float>(config.top_p));
  sampling.set_min_p(static_cast<float>(config.min_p));
  sampling.set_repetition_penalty(static_cast<float>(config.repetition_penalty));
  sampling.set_ignore_eos(true);
  request.set_seed(seed);
  request.set_cache_salt("bench");
  request.set_max_tokens(static_cast<uint32_t>(config.max_tokens));
  request.set_group_epoch(static_cast<uint64_t>(config.group_epoch));
  return request;
}

// One stream per request, of which the tag is its number from 1.
std::vector<StreamTimes> RunStreams(grpc::ChannelInterface& channel, const Config& config, uint64_t round) {
  auto stub = quire::v1::Inference::NewStub(
      std::shared_ptr<grpc::ChannelInterface>(&channel, [](grpc::ChannelInterface*) {}));
  grpc::ClientContext context;
  std::vector<StreamTimes> times(static_cast<size_t>(config.streams));
  std::vector<quire::v1::GatewayFrame> frames(times.size());
  for (size_t i = 0; i < times.size(); ++i) {
    quire::v1::Submit& submit = *frames[i].mutable_submit();
    submit.set_tag(i + 1);
    submit.set_credit(static_cast<uint32_t>(config.max_tokens));
    *submit.mutable_request() = MakeRequest(config, round * 1000 + i);
  }
  auto session = stub->Serve(&context);
  for (size_t i = 0; i < times.size(); ++i) {
    times[i].sent = Clock::now();
    session->Write(frames[i]);
  }
  session->WritesDone();
  for (quire::v1::GroupFrame frame; session->Read(&frame);) {
    const auto now = Clock::now();
    for (const quire::v1::RequestUpdate& update : frame.updates()) {
      StreamTimes& stream = times.at(update.tag() - 1);
      stream.tokens.insert(stream.tokens.end(), update.tokens().ids_size(), now);
      if (update.has_ended()) {
        stream.ok = update.ended().code() == 0 && std::ssize(stream.tokens) == config.max_tokens;
      }
    }
  }
  const bool ok = session->Finish().ok();
  for (StreamTimes& stream : times) stream.ok = stream.ok && ok;
  return times;
}

struct Round {
  double decode_tokens_per_s = 0, prefill_tokens_per_s = 0;
  bool ok = true;
};

Round RunRound(grpc::ChannelInterface& channel, const Config& config, uint64_t round) {
  const std::vector<StreamTimes> times = RunStreams(channel, config, round);
  Round result;
  for (const StreamTimes& t : times) result.ok = result.ok && t.ok;
  if (!result.ok) return result;
  auto sent = times[0].sent, all_first = times[0].tokens.front(), last = times[0].tokens.back();
  for (const StreamTimes& t : times) {
    sent = std::min(sent, t.sent);
    all_first = std::max(all_first, t.tokens.front());  // from here on nothing is prefilled any more
    last = std::max(last, t.tokens.back());
  }
  int64_t tokens = 0;
  for (const StreamTimes& t : times) {
    tokens += std::ranges::count_if(t.tokens, [&](Clock::time_point at) { return at > all_first; });
  }
  result.prefill_tokens_per_s =
      static_cast<double>(config.prompt_tokens * config.streams) / Seconds(sent, all_first);
  result.decode_tokens_per_s = static_cast<double>(tokens) / Seconds(all_first, last);
  return result;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  Config config;
  quire::Options options("quire-bench-generate", "Closed-loop load on one worker group.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  auto channel = quire::MakeGrpcChannel(config.address, {});
  if (!channel.ok()) return 1;
  std::vector<double> decode, prefill;
  const uint64_t first_round = std::random_device()();  // new prompts each time, or the prefix cache answers
  for (int64_t round = 0; round <= config.rounds; ++round) {
    const Round result = RunRound(**channel, config, first_round + static_cast<uint64_t>(round));
    if (!result.ok) {
      std::fprintf(stderr, "quire-bench-generate: a stream did not finish\n");
      return 1;
    }
    if (round == 0) continue;  // warm-up
    decode.push_back(result.decode_tokens_per_s);
    prefill.push_back(result.prefill_tokens_per_s);
  }
  std::printf("{\"streams\":%ld,\"decode_tokens_per_s\":%.1f,\"prefill_tokens_per_s\":%.1f}\n",
              static_cast<long>(config.streams), config.max_tokens > 1 ? Median(decode) : 0.0,
              Median(prefill));
  return 0;
}
