// Without arguments: a line of JSON is a call, and a line of JSON its answer: `result` or `error`, and the
// milliseconds that it took. With `members`: what the compiled expressions use, a line each.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Reflection;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

public static class Program
{
    private const int FirstMemberReference = 0x0A000001;

    private static readonly JsonSerializerSettings AsWritten = new JsonSerializerSettings
    {
        DateParseHandling = DateParseHandling.None,
        StringEscapeHandling = StringEscapeHandling.EscapeNonAscii,
    };

    public static void Main(string[] arguments)
    {
        if (arguments.Length > 0)
        {
            foreach (var member in Members().Distinct()) Console.WriteLine(member);
            return;
        }
        for (var line = Console.In.ReadLine(); line != null; line = Console.In.ReadLine()) Reply(line);
    }

    private static void Reply(string line)
    {
        var asked = JsonConvert.DeserializeObject<JObject>(line, AsWritten);
        var call = Made(asked);
        object result = null;
        string error = null;
        var watch = Stopwatch.StartNew();
        try
        {
            result = Policies.Evaluate((string)asked["expression"], call);
        }
        catch (Exception failure)
        {
            error = failure.GetType().Name + ": " + failure.Message;
        }
        var milliseconds = watch.ElapsedMilliseconds;
        Console.WriteLine(JsonConvert.SerializeObject(
            new { result = result, error = error, milliseconds = milliseconds }, Formatting.None, AsWritten));
    }

    private static Call Made(JObject asked)
    {
        var body = (string)asked["body"];
        var status = (int?)asked["status"];
        var message = (string)asked["message"];
        return new Call
        {
            Body = body == null ? null : new Body(Convert.FromBase64String(body)),
            Headers = HeadersOf((JObject)asked["headers"]),
            MatchedParameters = ((JObject)asked["parameters"]).Properties()
                .ToDictionary(each => each.Name, each => (string)each.Value),
            Path = (string)asked["path"],
            Method = (string)asked["method"],
            Operation = new Operation { Id = (string)asked["operation"] },
            Id = (string)asked["subscription"],
            Response = status == null ? null : new Answer
            {
                StatusCode = status.Value,
                Body = new Body(Convert.FromBase64String((string)asked["answer"])),
                Headers = HeadersOf((JObject)asked["answered"]),
            },
            LastError = message == null ? null : new Error { Message = message, Reason = (string)asked["reason"] },
            Variables = ((JObject)asked["variables"]).Properties()
                .ToDictionary(each => each.Name, each => ValueOf(each.Value)),
        };
    }

    private static Dictionary<string, string[]> HeadersOf(JObject headers)
    {
        return headers.Properties().ToDictionary(
            each => each.Name,
            each => each.Value.Select(value => (string)value).ToArray(),
            StringComparer.OrdinalIgnoreCase);
    }

    private static object ValueOf(JToken value)
    {
        return value.Type == JTokenType.Integer ? (object)(int)value : (string)value;
    }

    private static List<string> Members()
    {
        var found = new List<string>();
        var module = typeof(Policies).Assembly.GetModules()[0];
        for (var token = FirstMemberReference; ; token++)
        {
            MemberInfo member;
            try
            {
                member = module.ResolveMember(token);
            }
            catch (ArgumentException)
            {
                return found;
            }
            var type = member.DeclaringType;
            if (type == null || type.Assembly == typeof(IContext).Assembly) continue;
            var name = type.IsGenericType ? type.GetGenericTypeDefinition().FullName : type.FullName;
            found.Add(name.Split('`')[0] + " " + member.Name);
        }
    }
}
