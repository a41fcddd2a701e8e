// Runs one fuzz target without a fuzzing engine: every file of its corpus, every truncation of each, then
// random mutations for a bounded time. GCC has no libFuzzer, and CI wants the sanitizers on every target;
// with clang the same targets link with -fsanitize=fuzzer instead of this file.
//
//   netlab-fuzz-<target> CORPUS_FOLDER [SECONDS] [SEED]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;

void run(const input& in) {
  // An exact-size copy on the heap: the sanitizer sees a read of a single byte past the end.
  std::vector<std::uint8_t> copy(in.begin(), in.end());
  copy.shrink_to_fit();
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

input mutate(const std::vector<input>& corpus, std::mt19937_64& random) {
  auto pick = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  input out = corpus[pick(corpus.size())];
  static constexpr std::uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0x20, '\n', '%', '.', '/'};
  for (auto rounds = 1 + pick(8); rounds > 0; --rounds) {
    switch (pick(6)) {
    case 0:
      if (!out.empty()) out[pick(out.size())] = static_cast<std::uint8_t>(random());
      break;
    case 1:
      if (!out.empty()) out[pick(out.size())] = telling[pick(std::size(telling))];
      break;
    case 2:
      if (!out.empty()) out[pick(out.size())] ^= static_cast<std::uint8_t>(1u << pick(8));
      break;
    case 3: out.resize(pick(out.size() + 1)); break;
    case 4:
      out.insert(out.begin() + static_cast<std::ptrdiff_t>(pick(out.size() + 1)),
                 static_cast<std::uint8_t>(random()));
      break;
    case 5: { // splice a piece of another input
      const auto& other = corpus[pick(corpus.size())];
      auto from = pick(other.size() + 1), length = pick(other.size() - from + 1);
      out.insert(out.begin() + static_cast<std::ptrdiff_t>(pick(out.size() + 1)),
                 other.begin() + static_cast<std::ptrdiff_t>(from),
                 other.begin() + static_cast<std::ptrdiff_t>(from + length));
      if (out.size() > 65536) out.resize(65536);
      break;
    }
    }
  }
  return out;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER [SECONDS] [SEED]\n", argv[0]);
    return 2;
  }
  auto seconds = argc > 2 ? std::strtod(argv[2], nullptr) : 1.0;
  auto seed = argc > 3 ? std::strtoull(argv[3], nullptr, 0) : std::random_device{}();
  std::vector<input> corpus;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], missing)) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]);
    return 2;
  }
  std::sort(corpus.begin(), corpus.end());
  std::printf("seed %llu, %zu inputs\n", static_cast<unsigned long long>(seed), corpus.size());
  std::fflush(stdout); // a crash must not swallow the seed
  std::uint64_t runs = 0;
  for (const auto& in : corpus)
    for (std::size_t length = 0; length <= in.size(); ++length, ++runs)
      run(input(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(length)));
  std::mt19937_64 random(seed);
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end)
    for (int i = 0; i < 100; ++i, ++runs) run(mutate(corpus, random));
  std::printf("%llu runs, no crash\n", static_cast<unsigned long long>(runs));
}
