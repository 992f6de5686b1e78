using System.Diagnostics;
using HdrHistogram;

namespace Genfence.Load;

internal static class Keys
{
    public const int MostCallers = 512;

    // A writer's own: writers that cross are another measurement.
    private const int Hits = 1000, PerWriter = 8;

    // What is read, in the order that it is, over and over.
    private static string[] s_order = [];

    public static int ValueBytes { get; private set; }

    public static string[] ToRead { get; } = [.. Enumerable.Range(0, Hits).Select(i => $"load:{i}")];

    public static string[] ToWrite { get; } = [.. Enumerable.Range(0, MostCallers * PerWriter).Select(i => $"write:{i}")];

    public static void Choose(Options options)
    {
        ValueBytes = options.Value;
        // All alike where the exponent is 0.
        var shares = ToRead.Select((_, rank) => Math.Pow(rank + 1, -options.Zipf)).ToArray();
        var (sum, all, random) = (0.0, shares.Sum(), new Random(1));
        var upTo = Array.ConvertAll(shares, share => sum += share / all);
        s_order = new string[1 << 16];
        for (var place = 0; place < s_order.Length; place++)
        {
            var found = Array.BinarySearch(upTo, random.NextDouble());
            s_order[place] = ToRead[Math.Min(found < 0 ? ~found : found, Hits - 1)];
        }
    }

    public static string Read(int caller, long number) => s_order[(int)((caller * 4099L + number) % s_order.Length)];

    public static string Write(int caller, long number) => ToWrite[(caller * PerWriter) + (int)(number % PerWriter)];
}

/// <summary>One thing to measure: what a caller does, with its own number and that of the call; it returns whether it went well.</summary>
internal sealed record Way(string Name, Func<int, long, ValueTask<bool>> Call)
{
    public async Task<Numbers> MeasureAsync(int callers, TimeSpan time)
    {
        var latencies = Enumerable.Range(0, callers).Select(_ => new LongHistogram(Stopwatch.Frequency * 60, 2)).ToArray();
        // The pools fill, and the compiler settles.
        await RunAsync(latencies, TimeSpan.FromSeconds(0.3));
        foreach (var latency in latencies)
        {
            latency.Reset();
        }
        GC.Collect();
        var process = Process.GetCurrentProcess();
        var (cpu, bytes, collections, watch) = (
            process.TotalProcessorTime,
            GC.GetTotalAllocatedBytes(precise: true),
            GC.CollectionCount(0),
            Stopwatch.StartNew());
        await RunAsync(latencies, time);
        var elapsed = watch.Elapsed;
        bytes = GC.GetTotalAllocatedBytes(precise: true) - bytes;
        process.Refresh();
        cpu = process.TotalProcessorTime - cpu;
        var calls = (double)latencies.Sum(latency => latency.TotalCount);
        foreach (var latency in latencies[1..])
        {
            latencies[0].Add(latency);
        }
        return new Numbers(
            calls / elapsed.TotalSeconds,
            cpu.TotalMicroseconds / calls,
            bytes / calls,
            latencies[0].GetValueAtPercentile(99) * 1e6 / Stopwatch.Frequency,
            (GC.CollectionCount(0) - collections) * 1e6 / calls);
    }

    private async Task RunAsync(LongHistogram[] latencies, TimeSpan time)
    {
        // One end for all: where calls are done at once, callers that come later find it over.
        var end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        await Task.WhenAll(latencies.Select((latency, caller) => Task.Run(async () =>
        {
            var start = Stopwatch.GetTimestamp();
            for (var number = 0L; start < end; number++)
            {
                if (!await Call(caller, number))
                {
                    throw new InvalidOperationException($"{Name}: call {number} of caller {caller} did not do what is measured");
                }
                var done = Stopwatch.GetTimestamp();
                latency.RecordValue(done - start);
                start = done;
            }
        })));
    }
}

internal readonly record struct Numbers(double PerSecond, double Cpu, double Bytes, double P99, double Collections)
{
    public static string Header { get; } =
        $"{"",-23}{"",5} {"calls/s",11}{"µs CPU",9}{"bytes",9}{"p99 µs",10}{"GC/M",8}   beside the last: calls, CPU, p99";

    public static Numbers Median(List<Numbers> rounds)
    {
        double Of(Func<Numbers, double> number) => rounds.Select(number).Order().ElementAt(rounds.Count / 2);
        return new(Of(one => one.PerSecond), Of(one => one.Cpu), Of(one => one.Bytes), Of(one => one.P99), Of(one => one.Collections));
    }

    /// <summary>The medians of the rounds' ratios, and the least and the most of the calls'.</summary>
    public static string Beside(List<Numbers> ours, List<Numbers> others)
    {
        double[] Of(Func<Numbers, double> number) => [.. ours.Zip(others, (one, other) => number(one) / number(other)).Order()];
        double Middle(Func<Numbers, double> number) => Of(number)[ours.Count / 2];
        var calls = Of(one => one.PerSecond);
        return $"   {calls[ours.Count / 2],5:N2} × ({calls[0]:N2}–{calls[^1]:N2}){Middle(one => one.Cpu),6:N2} ×{Middle(one => one.P99),6:N2} ×";
    }

    public override string ToString() => $"{PerSecond,11:N0}{Cpu,9:N2}{Bytes,9:N1}{P99,10:N0}{Collections,8:N1}";
}
