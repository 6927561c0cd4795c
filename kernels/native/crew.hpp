// Threads that share out pieces of work, the one that asks among them. No interpreter in them: nobody waits for its lock.
#pragma once

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vocal {

class Crew {
  public:
    // work(piece, worker): workers are 0 to threads - 1, 0 is who asks.
    using Work = std::function<void(std::int64_t, std::int64_t)>;

    Crew(std::size_t threads, const std::string& name) {
        for (std::size_t worker = 1; worker < threads; ++worker)
            helpers_.emplace_back([this, worker, name] { help(static_cast<std::int64_t>(worker), name); });
        while (begun_.load() < helpers_.size()) std::this_thread::yield();
    }
    ~Crew() {
        is_ending_ = true;
        ++round_;
        round_.notify_all();
        for (auto& helper : helpers_) helper.join();
    }
    Crew(const Crew&) = delete;

    // The system's numbers of the helpers.
    std::vector<int> numbers() const { return numbers_; }

    // Each of `pieces` once; whoever is done takes the next. From one thread at a time.
    void run(std::int64_t pieces, const Work& work) {
        work_ = &work;
        pieces_ = pieces;
        next_ = 0;
        const bool is_shared = pieces > 1 && !helpers_.empty();
        if (is_shared) {
            at_work_ = static_cast<std::uint32_t>(helpers_.size());
            ++round_;
            round_.notify_all();
        }
        take(0);
        if (!is_shared) return;
        for (auto left = at_work_.load(); left != 0; left = at_work_.load()) at_work_.wait(left);
    }

  private:
    void take(std::int64_t worker) {
        for (auto piece = next_.fetch_add(1); piece < pieces_; piece = next_.fetch_add(1)) (*work_)(piece, worker);
    }

    void help(std::int64_t worker, const std::string& name) {
        pthread_setname_np(pthread_self(), name.c_str());
        {
            static std::mutex writing;
            std::scoped_lock held(writing);
            numbers_.push_back(static_cast<int>(syscall(SYS_gettid)));
        }
        std::uint32_t round = 0;
        ++begun_;
        while (true) {
            round_.wait(round);
            round = round_.load();
            if (is_ending_) return;
            if (worker < pieces_) take(worker);
            if (--at_work_ == 0) at_work_.notify_one();
        }
    }

    std::vector<std::thread> helpers_;
    std::vector<int> numbers_;
    std::atomic<std::size_t> begun_{0};
    std::atomic<std::uint32_t> round_{0}, at_work_{0};
    std::atomic<std::int64_t> next_{0};
    std::atomic<bool> is_ending_{false};
    const Work* work_ = nullptr;
    std::int64_t pieces_ = 0;
};

}  // namespace vocal
