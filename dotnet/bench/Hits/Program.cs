// A hit of the embedded store (memory://), beside caches that live in the process.
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run -c Release --project dotnet/bench/Hits -- --filter '*'
//
// Those beside it keep objects of the process and hand out references to them, or copies; genfence keeps bytes
// outside of the managed heap, reads them where they lie, and asks before each hit whether they may still be served.
using BenchmarkDotNet.Running;
using Genfence.Bench;

BenchmarkSwitcher.FromAssembly(typeof(Hits).Assembly).Run(args);
