// A chat over gRPC, streamed: chat_grpc HOST:PORT MODEL "What is the capital of France?". The key is read
// from QUIRE_API_KEY.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "proto/chat.grpc.pb.h"

int main(int argc, char** argv) {
  const char* key = std::getenv("QUIRE_API_KEY");
  if (argc != 4 || key == nullptr) {
    std::cerr << "usage: QUIRE_API_KEY=sk-quire-... chat_grpc HOST:PORT MODEL QUESTION\n";
    return 64;
  }
  quire::v1::ChatRequest request;
  request.set_model(argv[2]);
  request.set_max_tokens(64);
  request.set_temperature(0);
  quire::v1::ChatMessage& message = *request.add_messages();
  message.set_role("user");
  message.set_content(argv[3]);

  grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + key);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  const auto stub =
      quire::v1::Chat::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  const auto reader = stub->ChatStream(&context, request);
  for (quire::v1::ChatChunk chunk; reader->Read(&chunk);) {
    std::cout << chunk.content() << std::flush;
    if (chunk.has_usage()) {
      std::printf("\n[%s; %llu + %llu tokens, %.9f USD]\n", chunk.finish_reason().c_str(),
                  static_cast<unsigned long long>(chunk.usage().prompt_tokens()),
                  static_cast<unsigned long long>(chunk.usage().completion_tokens()),
                  static_cast<double>(chunk.usage().cost_nano_usd()) / 1e9);
    }
  }
  const grpc::Status status = reader->Finish();
  if (status.ok()) return 0;
  std::cerr << status.error_message() << '\n';
  return 1;
}
