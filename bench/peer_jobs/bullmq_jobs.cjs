// BullMQ on Redis: worker and producer are two processes of this file; `worker` as the argument makes it the worker.
const fs = require("fs");
const net = require("net");
const { Queue, Worker } = require("bullmq");
const connection = { url: process.env.DOAI_BENCH_REDIS, maxRetriesPerRequest: null };

if (process.argv[2] === "worker") {
  const fifo = fs.openSync(process.env.DOAI_BENCH_FIFO, "w");
  new Worker("jobs", async () => { fs.writeSync(fifo, "."); }, {
    connection, concurrency: 100, removeOnComplete: { count: 0 },
  });
} else {
  const [jobs, window] = process.argv.slice(2).map(Number);
  const queue = new Queue("jobs", { connection });
  let ended = 0, wake = () => {};
  // Not as a file: a thread that waits in read() would keep the process from ending.
  const { O_RDONLY, O_NONBLOCK } = fs.constants;
  const fifo = new net.Socket({ fd: fs.openSync(process.env.DOAI_BENCH_FIFO, O_RDONLY | O_NONBLOCK) });
  fs.openSync(process.env.DOAI_BENCH_FIFO, "w"); // or a worker that closes would end the FIFO
  fifo.on("data", (bytes) => { ended += bytes.length; wake(); });
  const until = async (wanted) => { while (ended < wanted) await new Promise((go) => { wake = go; }); };
  (async () => {
    const add = () => queue.add("nothing", "x".repeat(100), { removeOnComplete: true });
    await add();
    await until(1);
    const began = process.hrtime.bigint();
    const adding = [];
    for (let number = 0; number < jobs; number++) {
      await until(number + 2 - window);
      adding.push(add());
    }
    await Promise.all(adding);
    await until(jobs + 1);
    console.log(Number(process.hrtime.bigint() - began) / 1e9);
    process.exit(0);
  })();
}
